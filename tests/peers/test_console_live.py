"""`firmshake console` as people run it: in a terminal, and over RFC 2217."""

import os
import pty
import signal
import socket
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

import pytest
import serial
import serial.rfc2217
from support import screen, servers

from firmshake.console import Back, Lost, OpenPort, watch
from firmshake.event import Event, Output
from firmshake.serialport import open_port
from firmshake_agent.line import format_line

START = format_line(2, 781, "dns", "start", []) + "\r\n"
PASSED = format_line(3, 812, "dns", "ok", [("addr", "10.0.0.7"), ("took", 31)]) + "\r\n"
DNS = Event(3, 812, "dns", "ok", {"addr": "10.0.0.7", "took": "31"})


@pytest.fixture
def board() -> Iterator[tuple[int, str]]:
    """A board's end of a port, and the port's name."""
    end, port = pty.openpty()
    tty.setraw(port)
    yield end, os.ttyname(port)
    os.close(end)
    os.close(port)


def test_in_a_terminal_a_stage_is_shown_while_it_goes_on_and_ctrl_c_ends_it(
    board: tuple[int, str],
) -> None:
    end, name = board
    terminal = screen.firmshake("console", name, environment={"NO_COLOR": ""})
    try:
        terminal.wait_for("115200 baud; Ctrl-C ends it")  # opening the port drops what came before
        os.write(end, b"hello\r\n")
        terminal.wait_for("hello")
        os.write(end, START.encode())
        terminal.wait_for("· dns")
        os.write(end, PASSED.encode())
        terminal.wait_for("10.0.0.7")
        assert terminal.text.rindex("\r\x1b[K") > terminal.text.rindex("· dns")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text
    finally:
        terminal.close()


@contextmanager
def hub(port: int) -> Iterator["Hub"]:
    found = Hub(port)
    try:
        yield found
    finally:
        found.close()


class Hub:
    """A serial port on the network: pyserial's own server side of RFC 2217."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            self._client, _ = self._listener.accept()
            manager = serial.rfc2217.PortManager(serial.serial_for_url("loop://"), self)
            self._client.settimeout(0.05)
            while True:
                try:
                    if not (data := self._client.recv(1024)):
                        return
                    list(manager.filter(data))
                except TimeoutError:  # the client has settled: the board says its line again
                    self.write(PASSED.encode())

    def write(self, data: bytes) -> None:
        """What PortManager sends to the client."""
        if self._client:
            self._client.sendall(data)

    def close(self) -> None:
        for sock in (self._client, self._listener):
            if sock:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        self._thread.join()


def whole(live: Iterator[object]) -> object:
    """What comes first, but for the rest of a line of which opening the port dropped the begin."""
    item = next(live)
    return next(live) if isinstance(item, Output) else item


# pyserial 3.5 names and marks its reader thread in a way that Python 3.10 deprecated
@pytest.mark.filterwarnings("ignore:set(Daemon|Name)\\(\\) is deprecated:DeprecationWarning")
def test_an_rfc2217_server_that_goes_away_is_waited_for() -> None:
    # nothing else takes it while nobody listens there
    port = servers.free_port()
    with hub(port):
        url = f"rfc2217://127.0.0.1:{port}?timeout=60"

        def connect() -> OpenPort:
            return cast(OpenPort, open_port(url, 115200))

        live = watch(connect, pause=lambda seconds: None)
        assert whole(live) == DNS
    assert next(item for item in live if item != DNS) == Lost(f"the board on {url} went away")
    with hub(port):
        assert next(live) == Back()
        assert whole(live) == DNS
    live.close()
