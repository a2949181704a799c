"""The real tools at a virtual board, run to their end, and its serial line, read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import serial

if TYPE_CHECKING:
    from firmshake.virtual import VirtualBoard

# seconds; esptool writes whole images at a line's pace
PATIENCE_S = 60
ESPTOOL_PATIENCE_S = 120
# more than a board says when it starts: a reading ends with its time limit
_LONGEST = 4096

# what it has for limits in every test
ESPTOOL = Path(__file__).parent / "esptool.cfg"
# esptool's own number of attempts, whatever its configuration says
_PATIENT = ["--connect-attempts", "7"]


def impatient(folder: Path) -> str:
    """A configuration (ESPTOOL_CFGFILE) that has esptool wait for 1 s, not for 7.

    So long it waits whether a board that went away comes back.
    """
    path = folder / "esptool.cfg"
    path.write_text(ESPTOOL.read_text() + "connect_attempts = 1\n")
    return str(path)


def esptool(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real esptool at a port, to its end."""
    return _run("esptool", *_PATIENT, "--port", url, *arguments, within=ESPTOOL_PATIENCE_S)


def done(url: str, *arguments: str) -> str:
    """The same, which succeeds: what it said."""
    return _said(esptool(url, *arguments))


def mpremote(url: str, *arguments: str) -> str:
    """The real mpremote at a port, which succeeds: what it said."""
    return _said(_mpremote(url, *arguments))


def send_away(url: str) -> None:
    """The real mpremote sends a board to its bootloader.

    How it ends says nothing: the board leaves 0.1 s later, by when mpremote may have hung up.
    """
    _mpremote(url, "bootloader")


def _mpremote(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _run("mpremote", "connect", url, *arguments)


@contextmanager
def console(url: str, baud: int = 115200) -> Iterator[serial.SerialBase]:
    """A port, open."""
    port = serial.serial_for_url(url, baud, timeout=0.1)
    try:
        yield port
    finally:
        port.close()


def read_until(port: serial.SerialBase, wanted: bytes, within: float = PATIENCE_S) -> bytes:
    """What comes over an open port, up to and with what is wanted, and not a byte more."""
    seen, deadline = bytearray(), time.monotonic() + within
    while not seen.endswith(wanted):
        assert time.monotonic() < deadline, bytes(seen)
        seen += port.read(1)
    return bytes(seen)


def at_prompt(port: serial.SerialBase) -> bytes:
    """Wait until a board that runs no program is at its prompt, with nothing on the way any more.

    What is written while the board starts may be lost, and may be answered later. What it said.
    """
    seen, deadline = b"", time.monotonic() + PATIENCE_S
    while b">>> " not in seen:
        assert time.monotonic() < deadline, seen
        port.write(b"\r")
        seen += port.read(_LONGEST)
    port.write(b"'at' + ' the prompt'\r")
    return seen + read_until(port, b"'at the prompt'\r\n>>> ")


def settled(url: str) -> str:
    """The port of such a board, once it is at its prompt."""
    with console(url) as port:
        at_prompt(port)
    return url


def begin(board: VirtualBoard, port: serial.SerialBase) -> None:
    """Let a board that was made with `boot_held` run its program, with all that it prints heard.

    So it runs for the first time, and once.
    """
    assert port.is_open
    board.hold_boot(False)
    board.press_reset()


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _run(*words: str, within: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "support.polling", *words],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
        check=False,
    )


def _said(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout
    return run.stdout
