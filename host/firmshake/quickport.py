"""pyserial's client of RFC 2217 without its thread: what has come is read when somebody asks.

For esptool_child, which has one port and waits for one answer after the other. pyserial's own reads
in a thread, hands over each byte by itself, and looks for answers at intervals: for a board next
door that was most of what a run of esptool cost.

The negotiation is pyserial's. It waits by `time.sleep` for answers that its thread takes note of;
here what sleeps reads (`QuickPort.wait`), and returns as soon as something has come.
"""

from __future__ import annotations

import select
import socket
import time
import types
from typing import Any

import serial
import serial.urlhandler.protocol_rfc2217
from serial import rfc2217
from serial.serialutil import Timeout

from firmshake.telnet import Filter

_READ = 65536
# how long a change may take to be acknowledged. pyserial's own 3 s are few where the computer that
# the board is at has other work, and esptool would give up; a port that is lost is told at once
_ANSWER_S = 10
# as pyserial says it, which esptool_words knows
_LOST = "connection failed (reader thread died)"


def use() -> None:
    """From here on, have pyserial open such ports by this class, and wait no longer than it has to.

    pyserial sleeps 50 ms before it looks whether a change was acknowledged, and esptool changes a
    time limit twice a command, each of which counts as a change of all settings. A board next door
    answers within 1 ms: over loopback this took a probe from 23 s to 1.8 s.
    """
    hurried = types.SimpleNamespace(**vars(time))
    hurried.sleep = QuickPort.wait
    rfc2217.time = hurried
    serial.urlhandler.protocol_rfc2217.Serial = QuickPort


class QuickPort(rfc2217.Serial):  # type: ignore[misc]
    """The port of an RFC 2217 server; the one that was opened last is what `wait` reads."""

    _opened: QuickPort | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._received = bytearray()
        self._filter = Filter(self)
        self._agreed: tuple[object, ...] | None = None
        super().__init__(*arguments, **named)

    @classmethod
    def wait(cls, seconds: float) -> None:
        """In the place of `time.sleep` in pyserial's module."""
        if cls._opened is not None and cls._opened.is_open:
            cls._opened.take(seconds)

    def open(self) -> None:
        """Open it. Raises SerialException."""
        QuickPort._opened = self
        self._received.clear()
        self._filter = Filter(self)
        self._agreed = None
        super().open()

    def from_url(self, url: str) -> Any:
        """Of pyserial, when it opens the port: host and port in a URL, which may set a limit."""
        self._network_timeout = _ANSWER_S
        return super().from_url(url)

    def take(self, seconds: float | None) -> None:
        """Take what comes within so many seconds. Raises SerialException where the port is lost."""
        opened: socket.socket = self._socket
        if not select.select([opened], [], [], seconds)[0]:
            return
        try:
            data = opened.recv(_READ)
        except OSError:
            data = b""
        if not data:
            raise serial.SerialException(_LOST)
        self._received += self._filter.feed(data)

    def read(self, size: int = 1) -> bytes:
        """Up to `size` bytes, fewer where the time limit is over. Raises SerialException."""
        self._check()
        timeout = Timeout(self._timeout)
        while len(self._received) < size:
            self.take(timeout.time_left())
            if timeout.expired():
                break
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    @property
    def in_waiting(self) -> int:
        """How many bytes can be read at once."""
        self._check()
        self.take(0)
        return len(self._received)

    def reset_input_buffer(self) -> None:
        """Forget what has come."""
        self._check()
        self.rfc2217_send_purge(rfc2217.PURGE_RECEIVE_BUFFER)
        self._received.clear()

    def negotiated(self, command: bytes, option: bytes) -> None:
        """Of the filter, not for callers."""
        self._telnet_negotiate_option(command, option)

    def subnegotiated(self, value: bytes) -> None:
        """Of the filter, not for callers."""
        self._telnet_process_subnegotiation(value)

    def _check(self) -> None:
        if not self.is_open:
            raise serial.PortNotOpenError

    def _reconfigure_port(self) -> None:
        # esptool changes a time limit twice a command, which is no business of the server's
        line = (self._baudrate, self._bytesize, self._parity, self._stopbits)
        wanted = (*line, self._xonxoff, self._rtscts)
        # a time limit for writing is refused, which esptool expects
        if wanted != self._agreed or self._write_timeout is not None:
            self._agreed = None
            super()._reconfigure_port()
            self._agreed = wanted

    def _telnet_read_loop(self) -> None:
        """What pyserial starts a thread for: nothing."""
