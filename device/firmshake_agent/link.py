"""The one connection that MiniMQTT is given: already joined, resolved, connected and encrypted.

MiniMQTT asks a connection manager for a socket. This module stands in for the library's manager,
because the ladder has made the connection by then, and a board has heap for one. It also says at
once what MiniMQTT would hide or wait for: a refusal, a close, silence.
"""

import errno

FIRST = 8  # of the broker's plaintext that are kept; a CONNACK is four
LONGEST = 1024  # of a packet: MiniMQTT takes memory for all that its head announces
_LARGE = 128  # of a piece: only a message of ours is
REST_MS = 10000  # how long the rest of a packet may take

# What a broker may send to a session with one subscription at QoS 0 (MQTT 3.1.1, 2.2.1)
# and one PUBACK for each message that was sent with QoS 1
_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0


class Ended(Exception):
    """The broker refused, closed, kept silent, or sent what is not MQTT.

    MiniMQTT catches OSError, and loses the reason; this passes through it.
    """


class Link:
    """A socket as MiniMQTT uses it, over `stream` (the runtime's TLS stream) and its tap.

    `first` are the broker's first bytes; `closed` says that it closed, `broken` that it sent what
    no broker may; `granted` is the return code of its SUBACK, -1 before; `unacknowledged` counts
    messages that it still owes a PUBACK; `error` is what the stream raised, if anything. `pong_ms`
    is how long it may take to answer a PINGREQ, None where the packets around it have their limit.
    """

    def __init__(self, runtime: object, stream: object, tap: object) -> None:
        self.first = b""
        self.closed = False
        self.broken = False
        self.granted = -1
        self.unacknowledged = 0
        self.error = None
        self.pong_ms = None
        self._runtime = runtime
        self._stream = stream
        self._tap = tap
        self._waiting = bytearray()
        self._torn = False
        self._turn_ms = 1000
        self._asked = 0
        self._limit_ms = None
        # where the next byte falls (MQTT 3.1.1, 2.2): 0 in front of a packet, 1 in its length, 2 in
        # its body; the packet's first byte, 0 before all, and when that came; what is still to come
        self._place = 0
        self._kind = 0
        self._begun = 0
        self._rest = 0
        self._shift = 0

    @property
    def is_inside(self) -> bool:
        """Whether a packet has begun and not ended."""
        return self._place > 0

    def expect(self, ms: "int | None") -> None:
        """From now on the broker has so long to answer; None: it may be silent for ever."""
        self._asked = self._runtime.ticks()
        self._limit_ms = ms

    def connect(self, address: object) -> None:
        """Connected already."""

    def settimeout(self, seconds: float) -> None:
        """How long one read waits, for MiniMQTT to look at the time in between."""
        self._turn_ms = int(seconds * 1000)

    def send(self, data: "bytes | memoryview") -> int:
        """Hold data back until the next read: MiniMQTT writes a packet in five pieces.

        A large piece is sent, and no memory taken for it. Raises Ended.
        """
        if len(data) > _LARGE:
            self.flush()
            self._write(data)
        else:
            self._waiting.extend(data)
        return len(data)

    def flush(self) -> None:
        """Send what was held back. Raises Ended."""
        if self._waiting:
            data = bytes(self._waiting)
            self._waiting = bytearray()
            if self.pong_ms and data == b"\xc0\x00":
                self.expect(self.pong_ms)
            self._write(data)

    def forget(self) -> bool:
        """Leave unsent what is held back; whether no packet is torn by that."""
        self._waiting = bytearray()
        return not self._torn

    def _write(self, data: "bytes | memoryview") -> None:
        self._torn = True
        self._tap.quiet = False
        self._tap.deadline(self._limit_ms or 10000)
        self._guarded(self._stream.write, data)
        self._torn = False

    def recv_into(self, buf: bytearray, size: int) -> int:
        """At least one byte, or OSError(ETIMEDOUT) when none came in this turn. Raises Ended.

        Inside a packet there is no such error: MiniMQTT would lose the part that has come.
        """
        if not size:  # the body of an empty message
            return 0
        self.flush()
        self._tap.quiet = True
        self._tap.deadline(self._turn())
        view = memoryview(buf)[:size]
        while True:
            count = self._guarded(self._stream.readinto, view)
            if count:
                break
            if count == 0 or self._tap.ended:
                self.closed = True
                raise Ended("closed")
            if self._tap.left() == 0:
                self._turn()
                if self._place:
                    raise Ended("silent")
                raise OSError(errno.ETIMEDOUT, "nothing yet")
        self._keep(view[:count])
        self._follow(view[:count])
        return count

    def _turn(self) -> int:
        """How long the next byte may take, in ms. Raises Ended where the broker had its time.

        That is so too where it talks all the while, and does not answer.
        """
        since = self._runtime.since
        left = self._turn_ms
        if self._place:
            # a packet that has begun is on its way: what a bad network loses comes within seconds
            left = REST_MS - since(self._begun)
        elif self._limit_ms is not None and since(self._asked) > self._limit_ms:
            left = 0
        if left <= 0:
            raise Ended("silent")
        return left

    def _follow(self, data: memoryview) -> None:
        for byte in data:
            if self._place == 0:
                self._begin(byte)
            elif self._place == 1:
                self._rest |= (byte & 127) << self._shift
                self._shift += 7
                if self._rest > LONGEST or self._shift > 28 or (byte < 128 and not self._fits()):
                    raise self._break("broken")
                if byte < 128:
                    self._place = 2 if self._rest else 0
            else:
                self._rest -= 1
                if self._rest == 0:
                    self._place = 0
                    if self._kind == _SUBACK:
                        self.granted = byte

    def _begin(self, kind: int) -> None:
        # of packets that it does not wait for, MiniMQTT leaves the body, and takes it for packets
        known = kind & 0xFE == _PUBLISH or kind == _PINGRESP or not self._kind
        if kind == _PUBACK and self.unacknowledged:
            # one that comes too late too: MiniMQTT takes its body for packets that mean nothing
            known = True
            self.unacknowledged -= 1
        if not known and (kind != _SUBACK or self.granted >= 0):
            raise self._break("broken")
        if self.pong_ms and kind == _PINGRESP:
            self.expect(None)
        self._place, self._kind, self._rest, self._shift = 1, kind, 0, 0
        self._begun = self._runtime.ticks()

    def _fits(self) -> bool:
        if self._kind == _CONNACK:
            return True  # `_keep` judges it
        if self._kind == _PINGRESP:
            return self._rest == 0
        if self._kind == _PUBACK:
            return self._rest == 2
        return self._rest == 3 if self._kind == _SUBACK else self._rest >= 3

    def _keep(self, data: memoryview) -> None:
        if len(self.first) >= FIRST:
            return
        self.first += bytes(data[: FIRST - len(self.first)])
        # a CONNACK that refuses, or what no broker sends: MiniMQTT would ask on, or raise KeyError
        if self.first[0] != _CONNACK or (
            len(self.first) >= 4 and (self.first[1] != 2 or self.first[3])
        ):
            raise self._break("refused")

    def _break(self, why: str) -> Ended:
        self.broken = True
        return Ended(why)

    def _guarded(self, call: object, data: object) -> "int | None":
        try:
            return call(data)
        except OSError as error:
            self.closed = True
            self.error = error
            raise Ended("closed")

    def close(self) -> None:
        """Send what was held back, as far as possible; the ladder closes the connection."""
        try:
            if not self.closed:
                self.flush()
        except Ended:
            pass  # it was closing anyway


class Manager:
    """Hands MiniMQTT its one link, whatever address it names."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def get_socket(self, host: str, port: int, proto: str, **options: object) -> Link:
        """The link, with the time limit that MiniMQTT asks for."""
        self._link.settimeout(options.get("timeout", 1))
        return self._link

    def close_socket(self, link: Link) -> None:
        """Close the link."""
        link.close()


def get_connection_manager(link: Link) -> Manager:
    """What MiniMQTT imports: here its socket pool is the link itself."""
    return Manager(link)
