"""The server's end of MQTT over WebSocket (RFC 6455; MQTT 3.1.1, 6), and its faults."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

from firmshake.faults.mqtt import exactly
from firmshake.faults.tls import Stream

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10
_LONGEST_HEAD = 8192


def upgrade(
    then: Callable[[Stream], None], *, protocol: bytes = b"mqtt", honest: bool = True
) -> Callable[[Stream], None]:
    """Accept the Upgrade and go on by `then`; not `honest`, with a wrong Sec-WebSocket-Accept."""

    def serve(stream: Stream) -> None:
        head = read_head(stream)
        key = re.search(rb"(?im)^sec-websocket-key:\s*(\S+)", head)
        if key is None:
            stream.sendall(status(b"400 Bad Request"))
            return
        digest = hashlib.sha1(key[1] + (_GUID if honest else b"")).digest()  # noqa: S324  RFC 6455
        stream.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n"
            b"Sec-WebSocket-Protocol: " + protocol + b"\r\n\r\n"
        )
        then(_Frames(stream))

    return serve


def answer(reply: bytes) -> Callable[[Stream], None]:
    """Answer the request by `reply`, and close."""

    def serve(stream: Stream) -> None:
        read_head(stream)
        if reply:
            stream.sendall(reply)

    return serve


def status(line: bytes, *fields: bytes) -> bytes:
    """An HTTP answer without a body."""
    head = [b"HTTP/1.1 " + line, *fields, b"Content-Length: 0", b"Connection: close"]
    return b"\r\n".join([*head, b"", b""])


def read_head(stream: Stream) -> bytes:
    """An HTTP request up to its empty line, or what came of it."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD:
        part = stream.recv(4096)
        if not part:
            break
        head += part
    return head


class _Frames:
    """The payloads of binary frames, as a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._data = b""

    def recv(self, size: int) -> bytes:
        while not self._data:
            head = exactly(self._stream, 2)
            if not head or not self._frame(head[0] & 15, head[1] & 127):
                return b""
        data, self._data = self._data[:size], self._data[size:]
        return data

    def _frame(self, opcode: int, size: int) -> bool:
        if size > 125:
            size = int.from_bytes(exactly(self._stream, 2 if size == 126 else 8), "big")
        mask = exactly(self._stream, 4)
        body = exactly(self._stream, size)
        if opcode == _CLOSE or not mask or len(body) != size:
            return False
        payload = bytes(byte ^ mask[at & 3] for at, byte in enumerate(body))
        if opcode == _PING:
            self._send(_PONG, payload)
        elif opcode != _PONG:
            self._data += payload
        return True

    def sendall(self, data: bytes) -> None:
        self._send(_BINARY, data)

    def _send(self, opcode: int, data: bytes) -> None:
        # a server does not mask; all that a fault says is below 64 KiB
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        self._stream.sendall(bytes([0x80 | opcode]) + size + data)
