"""The one connection that MiniMQTT is given: already joined, resolved, connected and encrypted.

MiniMQTT asks a connection manager for a socket. This module stands in for the library's manager,
because the ladder has made the connection by then, and a board has heap for one. It also says at
once what MiniMQTT would hide or wait for: a refusal, a close, silence.
"""

import errno

FIRST = 8  # of the broker's plaintext that are kept; a CONNACK is four
_REST_MS = 10000  # how long the rest of a packet may take


class Ended(Exception):
    """The broker refused, closed or kept silent.

    MiniMQTT catches OSError, and loses the reason; this passes through it.
    """


class Link:
    """A socket as MiniMQTT uses it, over `stream` (the runtime's TLS stream) and its tap.

    `first` are the broker's first bytes; `closed` says that it closed; `error` is what the stream
    raised, if anything.
    """

    def __init__(self, runtime: object, stream: object, tap: object) -> None:
        self.first = b""
        self.closed = False
        self.error = None
        self._runtime = runtime
        self._stream = stream
        self._tap = tap
        self._waiting = bytearray()
        self._turn_ms = 1000
        self._asked = 0
        self._limit_ms = None
        # where the next byte falls (MQTT 3.1.1, 2.2): 0 in front of a packet, 1 in its length, 2 in
        # its body; shift or size of the part that is being read
        self._place = 0
        self._rest = 0
        self._shift = 0

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
        """Hold data back until the next read: MiniMQTT writes a packet in five pieces."""
        self._waiting.extend(data)
        return len(data)

    def flush(self) -> None:
        """Send what was held back. Raises Ended."""
        if self._waiting:
            data = bytes(self._waiting)
            self._waiting = bytearray()
            self._tap.quiet = False
            self._tap.deadline(self._limit_ms or 10000)
            self._guarded(self._stream.write, data)

    def recv_into(self, buf: bytearray, size: int) -> int:
        """At least one byte, or OSError(ETIMEDOUT) when none came in this turn. Raises Ended.

        Inside a packet there is no such error: MiniMQTT would lose the part that has come.
        """
        self.flush()
        self._tap.quiet = True
        # a packet that has begun is on its way: what is lost on a bad network comes within seconds
        self._tap.deadline(_REST_MS if self._place else self._turn_ms)
        view = memoryview(buf)[:size]
        while True:
            count = self._guarded(self._stream.readinto, view)
            if count:
                break
            if count == 0 or self._tap.ended:
                self.closed = True
                raise Ended("closed")
            if self._tap.left() == 0:
                self._be_patient()
                raise OSError(errno.ETIMEDOUT, "nothing yet")
        self._keep(view[:count])
        self._follow(view[:count])
        return count

    def _be_patient(self) -> None:
        silent = self._limit_ms is not None and self._runtime.since(self._asked) > self._limit_ms
        if silent or self._place:
            raise Ended("silent")

    def _follow(self, data: memoryview) -> None:
        for byte in data:
            if self._place == 0:  # the packet's type
                self._place, self._rest, self._shift = 1, 0, 0
            elif self._place == 1:
                self._rest |= (byte & 127) << self._shift
                self._shift += 7
                if byte < 128:
                    self._place = 2 if self._rest else 0
            else:
                self._rest -= 1
                if self._rest == 0:
                    self._place = 0

    def _keep(self, data: memoryview) -> None:
        if len(self.first) >= FIRST:
            return
        self.first += bytes(data[: FIRST - len(self.first)])
        # a CONNACK that refuses, or what no broker sends: MiniMQTT would ask on, or raise KeyError
        if self.first[0] != 0x20 or (
            len(self.first) >= 4 and (self.first[1] != 2 or self.first[3])
        ):
            raise Ended("refused")

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
