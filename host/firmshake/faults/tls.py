"""TLS by OpenSSL, with what goes to the client shaped: cut, stalled, damaged, byte by byte."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from firmshake.faults.ports import Handler, hold

T = TypeVar("T")
Write = Callable[[bytes], None]
# what stands between OpenSSL and the socket of one connection
Shape = Callable[[socket.socket], Write]
# where in a flight of the server something happens: an offset in its bytes
Place = Callable[[bytes], int]

# for the client to read what it was sent, which a reset would overtake
_READ_S = 0.1

_HANDSHAKE, _APPLICATION_DATA = 22, 23


class Stream(Protocol):
    """What MQTT and WebSocket are spoken over."""

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        ...

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        ...


class Served(OSError):
    """The fault has been served: there is nothing more to do on this connection."""


class TlsStream:
    """The server's end of one TLS connection."""

    def __init__(
        self, connection: socket.socket, context: ssl.SSLContext, shape: Shape | None = None
    ) -> None:
        self._connection = connection
        self._write = shape(connection) if shape else connection.sendall
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def handshake(self) -> None:
        """To the end. Raises OSError, once our alert is sent."""
        self._run(self._tls.do_handshake)

    def hello(self) -> None:
        """The first flight alone, as far as OpenSSL goes without the client's answer."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                if self._push():
                    return
                self._pull()

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes, none where the client has left."""
        try:
            return self._run(lambda: self._tls.read(size))
        except ssl.SSLError:
            return b""

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._run(lambda: self._tls.write(data))

    def _run(self, call: Callable[[], T]) -> T:
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                self._push()
                self._pull()
            except ssl.SSLError:
                self._push()  # our alert
                raise
            else:
                self._push()
                return result

    def _push(self) -> bool:
        data = self._out.read()
        if data:
            self._write(data)
        return bool(data)

    def _pull(self) -> None:
        data = self._connection.recv(16384)
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()


def serving(
    context: ssl.SSLContext, then: Callable[[Stream], None], shape: Shape | None = None
) -> Handler:
    """A TLS server that hands each connection to `then` once its handshake is done."""

    def handle(connection: socket.socket) -> None:
        stream = TlsStream(connection, context, shape)
        try:
            stream.handshake()
        except ssl.SSLError:
            # as OpenSSL's own servers do: the alert is sent, and the connection closed
            connection.shutdown(socket.SHUT_WR)
            hold(connection)
        else:
            then(stream)

    return handle


def pieces(size: int, pause_s: float) -> Shape:
    """`size` bytes a packet, with a pause after each."""

    def shape(connection: socket.socket) -> Write:
        def write(data: bytes) -> None:
            for at in range(0, len(data), size):
                connection.sendall(data[at : at + size])
                time.sleep(pause_s)

        return write

    return shape


def cut(flight: int, place: Place, end: Handler) -> Shape:
    """Send up to `place` in the server's flight of that number (from 1), and end by `end`."""

    def shape(connection: socket.socket) -> Write:
        count = 0

        def write(data: bytes) -> None:
            nonlocal count
            count += 1
            if count < flight:
                connection.sendall(data)
                return
            connection.sendall(data[: place(data)])
            time.sleep(_READ_S)
            end(connection)
            raise Served

        return write

    return shape


def damage(flight: int, place: Place) -> Shape:
    """Flip a bit at `place` in the server's flight of that number."""

    def shape(connection: socket.socket) -> Write:
        count = 0

        def write(data: bytes) -> None:
            nonlocal count
            count += 1
            if count == flight:
                at = place(data)
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            connection.sendall(data)

        return write

    return shape


def split(size: int) -> Shape:
    """The clear part of the handshake in records of `size` bytes (RFC 8446, 5.1 allows it)."""

    def shape(connection: socket.socket) -> Write:
        def write(data: bytes) -> None:
            parts = bytearray()
            for start, end in records(data):
                head, body = data[start : start + 3], data[start + 5 : end]
                step = (
                    size if head[0] == _HANDSHAKE and body[0] in (2, 11, 12, 13, 14) else len(body)
                )
                for at in range(0, len(body), step):
                    piece = body[at : at + step]
                    parts += head + len(piece).to_bytes(2, "big") + piece
            connection.sendall(parts)

        return write

    return shape


def records(data: bytes) -> list[tuple[int, int]]:
    """Start and end of each whole record."""
    found, at = [], 0
    while at + 5 <= len(data):
        end = at + 5 + int.from_bytes(data[at + 3 : at + 5], "big")
        if end > len(data):
            break
        found.append((at, end))
        at = end
    return found


def nowhere(data: bytes) -> int:
    """Before the flight's first byte."""
    return 0


def in_server_hello(data: bytes) -> int:
    """Behind the first 20 bytes of the ServerHello."""
    return 20


def after_server_hello(data: bytes) -> int:
    """Behind the whole ServerHello."""
    return records(data)[0][1]


def in_certificate(data: bytes) -> int:
    """Within the Certificate; under TLS 1.3, within the encrypted record that holds it."""
    return _after_hello(data) + 60


def in_finished(data: bytes) -> int:
    """Within the last record of the flight."""
    start, end = records(data)[-1]
    return (start + 5 + end) // 2


def _after_hello(data: bytes) -> int:
    kinds = (_HANDSHAKE, _APPLICATION_DATA)
    found = (start for start, _ in records(data)[1:] if data[start] in kinds)
    return next(found, len(data))  # where the flight is an alert, at its end
