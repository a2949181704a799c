"""The websocket stage: MQTT in binary frames over an HTTP Upgrade (RFC 6455; MQTT 3.1.1, 6)."""

import binascii
import hashlib

from .failure import Failure

_SUBPROTOCOL = "mqtt"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_HEAD_LIMIT = 2048  # of the server's answer: a proxy's cookies fit

# RFC 6455, 5.2: opcodes
_CONTINUATION, _BINARY, _CLOSE, _PING, _PONG = 0, 2, 8, 9, 10


def upgrade(runtime: object, channel: object, identity: object) -> "WebSocket":
    """Ask for the Upgrade and check the answer. Raises Failure with stage websocket."""
    key = _base64(bytes([runtime.random() for _ in range(16)]))
    request = (
        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n"
    ) % (identity.path, identity.server_name, key, _SUBPROTOCOL)
    channel.tap.quiet = True
    channel.tap.deadline(identity.limit_ms)
    try:
        channel.stream.write(request.encode())
        head = _head(channel, identity.limit_ms)
    except OSError:
        raise Failure("websocket", "closed", {})
    _check(head, key)
    return WebSocket(runtime, channel.stream)


def _head(channel: object, limit_ms: int) -> bytes:
    """The HTTP answer up to its empty line, and nothing of what comes behind it.

    Byte by byte: MicroPython's `readinto` returns no sooner than its buffer is full, or its time
    over, and behind the answer a broker is silent until it is spoken to.
    """
    got = bytearray()
    one = bytearray(1)
    while got[-3:] != b"\n\r\n" and got[-2:] != b"\n\n":  # RFC 9112, 2.2
        if len(got) > _HEAD_LIMIT:
            raise Failure("websocket", "bad_upgrade", {"detail": "an endless answer"})
        count = channel.stream.readinto(one)
        if count:
            got.extend(one)
            if got[:5] != b"HTTP/"[: len(got)]:  # what else it is may never send an empty line
                raise Failure("websocket", "bad_upgrade", {"detail": "no HTTP"})
        elif count == 0 or channel.tap.ended:
            raise Failure("websocket", "closed", {})
        elif channel.tap.left() == 0:
            raise Failure("websocket", "timeout", {"limit_ms": limit_ms})
    return bytes(got)


def _check(head: bytes, key: str) -> None:
    lines = head.split(b"\n")
    words = lines[0].split()
    if len(words) < 2:
        raise Failure("websocket", "bad_upgrade", {"detail": "no HTTP"})
    if words[1] != b"101":
        raise Failure("websocket", "http_status", {"status": _plain(words[1])})
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    if fields.get(b"sec-websocket-accept") != _base64(_sha1(key.encode() + _GUID)).encode():
        raise Failure("websocket", "bad_upgrade", {"detail": "wrong Sec-WebSocket-Accept"})
    if fields.get(b"sec-websocket-protocol") != _SUBPROTOCOL.encode():
        raise Failure("websocket", "subprotocol", {})


def _sha1(data: bytes) -> bytes:
    # RFC 6455 says so; CircuitPython has it under this name only, MicroPython under the other
    if hasattr(hashlib, "new"):
        return hashlib.new("sha1", data).digest()  # noqa: S324
    return hashlib.sha1(data).digest()  # noqa: S324


def _plain(text: bytes) -> str:
    return "".join([chr(byte) if 32 < byte < 127 else "?" for byte in text[:8]])


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data).decode().strip()


class WebSocket:
    """A stream (`readinto`, `write`) of the payloads of binary frames, over the TLS stream."""

    def __init__(self, runtime: object, stream: object) -> None:
        self._runtime = runtime
        self._stream = stream
        self._head = bytearray()
        self._left = 0  # of the payload being read
        self._opcode = _BINARY
        self._control = bytearray()
        self._over = False

    def readinto(self, buf: "bytearray | memoryview") -> "int | None":
        """Payload bytes, 0 at the end, None where nothing comes now. Raises OSError.

        None too behind a frame without payload: a server that sends them all the while must not
        keep its reader from looking at the time.
        """
        view = memoryview(buf)
        while not self._over:
            if self._left == 0:
                if not self._frame() or self._left == 0:
                    return 0 if self._over else None
                continue
            if self._opcode in (_BINARY, _CONTINUATION):
                count = self._some(view[: min(len(view), self._left)])
                if count:
                    self._left -= count
                return count
            one = bytearray(1)
            if not self._some(one):
                return None
            self._left -= 1
            self._control.extend(one)
            if self._left == 0:
                self._answer()
                return 0 if self._over else None
        return 0

    def write(self, data: bytes) -> int:
        """Send data as one binary frame. Raises OSError."""
        self._send(_BINARY, data)
        return len(data)

    def _frame(self) -> bool:
        """Read the next frame's head; False while it is not complete."""
        one = bytearray(1)
        while len(self._head) < self._needed():
            count = self._some(one)
            if not count:
                return False
            self._head.extend(one)
        head = self._head
        size = head[1] & 0x7F
        if size > 125:
            size = 0
            for byte in head[2:]:
                size = size << 8 | byte
        if not _is_allowed(head):
            self._over = True
            return False
        self._opcode = head[0] & 15
        self._left = size
        self._head = bytearray()
        self._control = bytearray()
        if size == 0:
            self._answer()
        return True

    def _needed(self) -> int:
        if len(self._head) < 2:
            return 2
        return {126: 4, 127: 10}.get(self._head[1] & 0x7F, 2)

    def _some(self, view: "bytearray | memoryview") -> "int | None":
        count = self._stream.readinto(view)
        if count == 0:
            self._over = True
        return count

    def _answer(self) -> None:
        if self._opcode == _PING:
            self._send(_PONG, bytes(self._control))
        elif self._opcode == _CLOSE:
            self._over = True

    def _send(self, opcode: int, data: bytes) -> None:
        size = len(data)
        head = bytearray([0x80 | opcode])
        if size < 126:
            head.append(0x80 | size)
        else:  # MQTT packets of an agent are far below 64 KiB
            head.extend(bytes([0x80 | 126, size >> 8, size & 0xFF]))
        mask = bytes([self._runtime.random() for _ in range(4)])
        head.extend(mask)
        head.extend(bytes([data[i] ^ mask[i & 3] for i in range(size)]))
        self._stream.write(bytes(head))


def _is_allowed(head: bytearray) -> bool:
    """Whether a server may send a frame that begins so (RFC 6455, 5.1, 5.2 and 5.5).

    No extension, no mask, no text (MQTT 3.1.1, 6.0), and a control frame is whole and short.
    """
    opcode = head[0] & 15
    if head[0] & 0x70 or head[1] & 0x80:
        return False
    if opcode in (_CLOSE, _PING, _PONG):
        return bool(head[0] & 0x80) and head[1] < 126
    return opcode in (_CONTINUATION, _BINARY)
