"""The MQTT of the faults: a broker for one client that grants everything but what it should not."""

from __future__ import annotations

from dataclasses import dataclass

from firmshake.faults.tls import Stream

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 10, 12, 14
NEVER = 0
_GRANTED = 0
# packets of a type that no version of MQTT knows
BABBLE = bytes(16)
# MQTT 5.0, 3.1.2.2: the protocol level that its CONNECT names
_MQTT_5 = 5


@dataclass(frozen=True)
class Broker:
    """How it behaves.

    `code` is CONNACK's, and a client of MQTT 3.1.1 is not answered at all where `only_to_5` says
    so; `granted` SUBACK's. It says nothing from the packet type `silent_at` on, closes instead of
    answering `closes_at`, and answers `babbles_at` by what is not MQTT. Without `echo` it drops
    what is published; unless it `acknowledges`, it sends no PUBACK.
    """

    code: int = 0
    session_present: bool = False
    only_to_5: bool = False
    granted: int = _GRANTED
    echo: bool = True
    acknowledges: bool = True
    silent_at: int = NEVER
    closes_at: int = NEVER
    babbles_at: int = NEVER
    closes_once_subscribed: bool = False

    def __call__(self, stream: Stream) -> None:
        """Serve one connection to its end."""
        silent = False
        while packet := read_packet(stream):
            kind = packet[0] >> 4
            silent = silent or kind == self.silent_at
            if kind in (self.closes_at, DISCONNECT):
                return
            if silent:
                continue
            answer = BABBLE if kind == self.babbles_at else self._answer(kind, packet)
            if answer is None:
                return
            if answer:
                stream.sendall(answer)
            if self.closes_once_subscribed and kind == PUBLISH:
                return

    def _answer(self, kind: int, packet: bytes) -> bytes | None:
        if kind == CONNECT:
            return self._connack(packet)
        if kind in (SUBSCRIBE, UNSUBSCRIBE):
            return self._suback(kind, packet)
        if kind == PINGREQ:
            return b"\xd0\x00"
        return self._published(packet) if kind == PUBLISH else b""

    def _suback(self, kind: int, packet: bytes) -> bytes:
        body = _body(packet)
        if kind == UNSUBSCRIBE:
            return b"\xb0\x02" + body[:2]
        at, count = 2, 0
        while at + 2 <= len(body):  # each filter, and the QoS that is wanted
            at += 2 + int.from_bytes(body[at : at + 2], "big") + 1
            count += 1
        return bytes([0x90, 2 + count]) + body[:2] + bytes([self.granted]) * count

    def _published(self, packet: bytes) -> bytes:
        body = _body(packet)
        quality = packet[0] >> 1 & 3
        if quality == 0:
            return packet if self.echo else b""
        end = 2 + int.from_bytes(body[:2], "big")  # of the topic; the packet's identifier follows
        echo = body[:end] + body[end + 2 :]
        found = b"\x40\x02" + body[end : end + 2] if self.acknowledges else b""
        # echoed by QoS 0, as MQTT allows to who subscribed by that
        return found + (b"\x30" + _length(len(echo)) + echo if self.echo else b"")

    def _connack(self, packet: bytes) -> bytes | None:
        # protocol name behind its length, then the level
        at = packet.find(b"MQTT")
        if at > 0 and packet[at + 4 : at + 5] == bytes([_MQTT_5]):
            return bytes([0x20, 3, 0, self.code, 0])
        if self.only_to_5:
            return None
        return bytes([0x20, 2, self.session_present, self.code])


def read_packet(stream: Stream) -> bytes:
    """The next packet, its remaining length in one byte or more; b"" where there is no more."""
    head = exactly(stream, 2)
    while head and head[-1] >= 128 and len(head) < 5:
        more = exactly(stream, 1)
        head = head + more if more else b""
    if not head:
        return b""
    size = sum((byte & 127) << 7 * place for place, byte in enumerate(head[1:]))
    body = exactly(stream, size)
    return head + body if len(body) == size else b""


def _body(packet: bytes) -> bytes:
    """What stands behind the remaining length."""
    at = 1
    while packet[at] >= 128:
        at += 1
    return packet[at + 1 :]


def _length(size: int) -> bytes:
    """A remaining length (MQTT 3.1.1, 2.2.3)."""
    found = bytearray()
    while size >= 128:
        found.append(size & 127 | 128)
        size >>= 7
    return bytes([*found, size])


def exactly(stream: Stream, size: int) -> bytes:
    """So many bytes, or b"" where they do not come."""
    data = b""
    while len(data) < size:
        part = stream.recv(size - len(data))
        if not part:
            return b""
        data += part
    return data


def saying(*replies: bytes) -> _Saying:
    """Read once before each reply, then hold the connection until the peer leaves."""
    return _Saying(replies)


@dataclass(frozen=True)
class _Saying:
    replies: tuple[bytes, ...]

    def __call__(self, stream: Stream) -> None:
        for reply in self.replies:
            stream.recv(4096)
            stream.sendall(reply)
        keep_silent(stream)


def keep_silent(stream: Stream) -> None:
    """Say nothing until the peer leaves."""
    while stream.recv(4096):
        pass


def hang_up(stream: Stream) -> None:
    """Close when the peer has spoken."""
    stream.recv(4096)
