"""Firmware as the projects publish it, with sentences for programs, and a site that has it."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Mapping

from firmshake.virtual.firmware import standin_firmware
from support import uf2

PADDING = b"a sentence in the place of a program\0" * 40


def micropython_bin(version: str = "v1.26.1", chip_id: int = 0) -> bytes:
    """MicroPython for a chip of the ESP32 family."""
    return standin_firmware(version=version, chip_id=chip_id)


def circuitpython_bin(
    version: str = "9.2.1", machine: str = "DOIT ESP32 Development Board with ESP32"
) -> bytes:
    """CircuitPython for an ESP32: it begins with the flash, not where the chip boots from."""
    banner = f"v1.24.1 on 2024-01-01\0Adafruit CircuitPython {version} on 2024-11-20; {machine}\0"
    return b"\xff" * 0x1000 + standin_firmware(version=banner)


def micropython_uf2(
    version: str = "v1.26.1",
    machine: str = "Raspberry Pi Pico W with RP2040",
    family: int = uf2.RP2040,
) -> bytes:
    """MicroPython for a Pico: version and board are two strings in it."""
    text = b"MicroPython %s on 2025-09-11\0%s; %s\0" % (
        version.encode(),
        PADDING,
        machine.encode(),
    )
    return uf2.file(PADDING + text + PADDING, family=family)


def circuitpython_uf2(
    version: str = "9.2.1",
    machine: str = "Raspberry Pi Pico W with rp2040",
    family: int = uf2.RP2040,
) -> bytes:
    """CircuitPython for a Pico: one string. It mentions MicroPython, from which it is made."""
    text = "MicroPython v1.24.1 on 2024-01-01 is where this is from\0"
    text += f"Adafruit CircuitPython {version} on 2024-11-20; {machine}\0"
    return uf2.file(PADDING + text.encode() + PADDING, family=family)


class Site:
    """A download site: `pages` by path; what is not there is 404. `asked` is who was asked for."""

    def __init__(self, pages: Mapping[str, bytes], redirects: Mapping[str, str]) -> None:
        self.pages, self.redirects = dict(pages), dict(redirects)
        self.asked: list[str] = []
        self.url = ""
        self.claims = 0  # bytes that it announces and never sends


@contextlib.contextmanager
def site(
    pages: Mapping[str, bytes] | None = None, redirects: Mapping[str, str] | None = None
) -> Iterator[Site]:
    """Serve these on loopback, by plain HTTP."""
    made = Site(pages or {}, redirects or {})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            data = made.pages.get(self.path)
            target = made.redirects.get(self.path)
            self.send_response(302 if target else 404 if data is None else 200)
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Length", str(len(data or b"") + made.claims))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
