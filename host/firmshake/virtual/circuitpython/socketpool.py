"""CircuitPython's `socketpool`: sockets with the few methods that it has, and its errors.

The end of a stream is what the ESP32's firmware makes of it where nothing blocks: ENOTCONN.
"""

from __future__ import annotations

import errno
import socket

from .wifi import Radio


class SocketPool:
    """All sockets of a radio."""

    AF_INET = 2
    AF_INET6 = 10
    SOCK_STREAM = 1
    SOCK_DGRAM = 2
    IPPROTO_TCP = 6
    TCP_NODELAY = 1

    class gaierror(OSError):  # noqa: N801  its name there
        """A name does not resolve, for whatever reason."""

    def __init__(self, radio: Radio) -> None:
        self._radio = radio  # there is one interface

    def socket(self, family: int = AF_INET, kind: int = SOCK_STREAM) -> Socket:
        """A new socket, not connected."""
        return Socket(family, kind)

    def getaddrinfo(
        self, host: str, port: int, family: int = 0, kind: int = 0
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """IPv4 addresses of a name."""
        try:
            answers = socket.getaddrinfo(host, port, socket.AF_INET, kind)
        except socket.gaierror:
            raise self.gaierror(-2, "Name or service not known") from None
        return [(*answer[:3], "", (str(answer[4][0]), port)) for answer in answers]


class Socket:
    """Neither a file nor a stream with `readinto`."""

    def __init__(self, family: int, kind: int) -> None:
        self.type = kind
        self._sock = socket.socket(family, kind)
        self._timeout: float | None = None
        self._fault: OSError | None = None

    def settimeout(self, seconds: float | None) -> None:
        """0: nothing blocks."""
        self._timeout = seconds
        self._sock.settimeout(seconds)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """As everywhere."""
        self._sock.setsockopt(level, option, value)

    def connect(self, address: tuple[str, int]) -> None:
        """Raises OSError with ETIMEDOUT at the time limit."""
        try:
            self._sock.connect(address)
        except ConnectionResetError as error:  # it was connected: lwIP tells at the first use
            self._fault = error
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "timed out") from None

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        """The name in the address is resolved."""
        return self._sock.sendto(data, address)

    def send(self, data: bytes | memoryview) -> int:
        """What fits now. Raises OSError with EAGAIN where nothing does."""
        return self._sock.send(data)

    def recv_into(self, buf: bytearray | memoryview, size: int = 0) -> int:
        """What is there. Raises OSError with EAGAIN, ETIMEDOUT, or ENOTCONN at the end."""
        if self._fault is not None:
            raise self._fault
        try:
            count = self._sock.recv_into(buf, size)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "timed out") from None
        if count == 0 and self._timeout == 0:
            raise OSError(errno.ENOTCONN, "not connected")
        return count

    def close(self) -> None:
        """Let it go."""
        self._sock.close()
