"""An open serial port as the REPL's other end sees it: bytes with a time limit, faults as Error."""

from __future__ import annotations

import time

import serial

from firmshake import serialport

# Ctrl-C twice stops what runs (the first may be caught, and CircuitPython then waits for a key);
# Ctrl-B leads to the prompt for people, should it be in the raw REPL, and asks for the banner
STOP = b"\r\x03\x03\x02"


class Wire:
    """Reads and writes one port; raises Error where the board goes away."""

    def __init__(self, port: serial.SerialBase) -> None:
        """`port` is one of serialport.open_port's, whose reads end after 0.1 s."""
        self._port = port
        self.name = str(port.port)

    @property
    def port(self) -> serial.SerialBase:
        """pyserial's object."""
        return self._port

    @property
    def baud(self) -> int:
        """The speed on our side."""
        return int(self._port.baudrate)

    @baud.setter
    def baud(self, value: int) -> None:
        if value == self.baud:
            return  # over RFC 2217 each setting is a round trip and more
        try:
            self._port.baudrate = value
        except (OSError, ValueError, TypeError) as error:
            raise serialport.gone(self.name) from error

    def read(self, limit_s: float) -> bytes:
        """What has come, as soon as there is some; empty once `limit_s` is over."""
        ends = time.monotonic() + limit_s
        try:
            while True:
                data = self._port.read(max(1, getattr(self._port, "in_waiting", 1)))
                if data or time.monotonic() >= ends:
                    return bytes(data or b"")
        except (OSError, TypeError) as error:
            # TypeError: pyserial reads from a file descriptor that is closed already
            raise serialport.gone(self.name) from error

    def drain(self, quiet_s: float) -> bytes:
        """All that comes until nothing has come for `quiet_s`; at most for twenty times as long."""
        data, ends = b"", time.monotonic() + 20 * quiet_s
        while (more := self.read(quiet_s)) and time.monotonic() < ends:
            data += more
        return data + more

    def write(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self._port.write(data)
        except (OSError, TypeError) as error:
            raise serialport.gone(self.name) from error
