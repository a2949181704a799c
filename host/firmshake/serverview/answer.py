"""What a server answers to a ClientHello in clear, read from its first flight.

Does no I/O. Under TLS 1.2 that is all up to ServerHelloDone, certificates too; under TLS 1.3 the
ServerHello or HelloRetryRequest alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from firmshake.serverview.firmwares import TLS13

# ContentType and HandshakeType (RFC 8446, 5.1 and 4; RFC 5246, 7.4)
_ALERT, _HANDSHAKE, _OTHERS = 21, 22, (20, 23)
_SERVER_HELLO, _CERTIFICATE, _KEY_EXCHANGE, _CERTIFICATE_REQUEST, _HELLO_DONE = 2, 11, 12, 13, 14

_LONGEST_RECORD = (1 << 14) + 2048  # RFC 5246, 6.2.3
_MOST = 1 << 18  # of a first flight: a chain of any sense is far below
_WARNING = 1


@dataclass(frozen=True)
class Answer:
    """What the server said: `version` 0 where it sent no ServerHello; `alert` is its number.

    `certificates` are DER, the server's own first; `asks` is whether it wants the client's, from
    one of the `authorities` (DER names). `group` is that of the key exchange, where there is one.
    `is_tls` is False where the bytes were not those of TLS: then `first` shows what they were.
    """

    version: int = 0
    suite: int = 0
    group: int = 0
    session_id: bool = False
    ticket: bool = False
    certificates: tuple[bytes, ...] = ()
    asks: bool = False
    authorities: tuple[bytes, ...] = ()
    alert: int | None = None
    is_tls: bool = True
    first: bytes = b""


class _BadMessage(ValueError):
    """A length leads out of the message."""


class Reader:
    """Reads a server's answer in pieces of any size; never fails, and holds at most 256 KiB.

    `done` is true once nothing more is to be learned; `answer` is what is known by now.
    """

    def __init__(self) -> None:
        self.done = False
        self.answer = Answer()
        self._records = bytearray()
        self._messages = bytearray()
        self._taken = 0

    def feed(self, data: bytes) -> None:
        """Take what came from the server."""
        if self.done or not data:
            return
        if len(self.answer.first) < 16:
            self._note(first=(self.answer.first + data)[:16])
        self._taken += len(data)
        self._records += data
        while not self.done and self._record():
            pass
        if self._taken > _MOST:
            self.done = True

    def _record(self) -> bool:
        """Take one record off the front; False where there is no whole one."""
        if len(self._records) < 5:
            return False
        kind, major, _, length = struct.unpack("!BBBH", self._records[:5])
        if kind not in (_ALERT, _HANDSHAKE, *_OTHERS) or major != 3 or length > _LONGEST_RECORD:
            self._give_up()
            return False
        if len(self._records) < 5 + length:
            return False
        body = bytes(self._records[5 : 5 + length])
        del self._records[: 5 + length]
        if kind == _HANDSHAKE:
            self._messages += body
            self._take_messages()
        elif kind != _ALERT:
            self.done = True  # what follows is encrypted
        elif length != 2:
            self._give_up()
        elif body[0] != _WARNING:
            self._note(alert=body[1])
            self.done = True
        return True

    def _take_messages(self) -> None:
        while not self.done and len(self._messages) >= 4:
            length = int.from_bytes(self._messages[1:4], "big")
            if length > _MOST:
                self._give_up()
            if len(self._messages) < 4 + length:
                return
            body = bytes(self._messages[4 : 4 + length])
            kind = self._messages[0]
            del self._messages[: 4 + length]
            try:
                self._message(kind, body)
            except _BadMessage:
                self._give_up()

    def _message(self, kind: int, body: bytes) -> None:
        if kind == _SERVER_HELLO:
            self._server_hello(_Cursor(body))
        elif kind == _CERTIFICATE:
            parts = _Cursor(_Cursor(body).block(3))
            self._note(certificates=tuple(parts.blocks(3)))
        elif kind == _KEY_EXCHANGE and body[:1] == b"\x03":  # named_curve (RFC 8422, 5.4)
            self._note(group=_Cursor(body[1:]).number(2))
        elif kind == _CERTIFICATE_REQUEST:
            self._certificate_request(_Cursor(body))
        elif kind == _HELLO_DONE:
            self.done = True

    def _server_hello(self, hello: _Cursor) -> None:
        version = hello.number(2)
        hello.take(32)
        session_id = bool(hello.block(1))
        suite = hello.number(2)
        hello.take(1)
        extensions = dict(_extensions(hello))
        if len(extensions.get(43, b"")) == 2:  # supported_versions
            version = int.from_bytes(extensions[43], "big")
        share = extensions.get(51, b"")[:2]
        self._note(
            version=version,
            suite=suite,
            session_id=session_id,
            ticket=35 in extensions,
            group=int.from_bytes(share, "big"),
        )
        self.done = version >= TLS13

    def _certificate_request(self, request: _Cursor) -> None:
        request.block(1)
        if self.answer.version >= 0x0303:
            request.block(2)
        names = _Cursor(request.block(2)).blocks(2)
        self._note(asks=True, authorities=tuple(names))

    def _note(self, **changes: object) -> None:
        self.answer = replace(self.answer, **changes)  # type: ignore[arg-type]  # by its names

    def _give_up(self) -> None:
        self.done = True
        if not self.answer.version:
            self._note(is_tls=False)


class _Cursor:
    """Goes through the fields of a message."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise _BadMessage
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def block(self, size: int) -> bytes:
        """A field behind its length, which is a number of `size` bytes."""
        return self.take(self.number(size))

    def blocks(self, size: int) -> list[bytes]:
        """All that follows as such fields."""
        found = []
        while not self.ended:
            found.append(self.block(size))
        return found

    @property
    def ended(self) -> bool:
        return self._at >= len(self._data)


def _extensions(hello: _Cursor) -> list[tuple[int, bytes]]:
    if hello.ended:
        return []  # TLS 1.2 and older may leave them out
    block = _Cursor(hello.block(2))
    found = []
    while not block.ended:
        found.append((block.number(2), block.block(2)))
    return found
