"""The one connection that MiniMQTT is given: already joined, resolved, connected and encrypted.

MiniMQTT asks a connection manager for a socket. This module stands in for the library's manager,
because the ladder has made the connection by then, and a board has heap for one. It also keeps
what MiniMQTT loses: the first bytes of the broker's answer, and whether the broker closed.
"""

import errno

FIRST = 8  # of the broker's plaintext; a CONNACK is four


class Link:
    """A socket as MiniMQTT uses it, over `stream` (the runtime's TLS stream) and its tap.

    MiniMQTT's own time limit is for reads; a write may take `write_ms`.
    """

    def __init__(self, stream: object, tap: object, write_ms: int) -> None:
        self.first = b""
        self.closed = False
        self.error = None  # what the stream raised
        self._stream = stream
        self._tap = tap
        self._waiting = bytearray()
        self._timeout_ms = 1000
        self._write_ms = write_ms

    def connect(self, address: object) -> None:
        """Connected already."""

    def settimeout(self, seconds: float) -> None:
        """How long a read waits."""
        self._timeout_ms = int(seconds * 1000)

    def send(self, data: "bytes | memoryview") -> int:
        """Hold data back until the next read: MiniMQTT writes a packet in five pieces."""
        self._waiting.extend(data)
        return len(data)

    def flush(self) -> None:
        """Send what was held back. Raises OSError."""
        if self._waiting:
            data = bytes(self._waiting)
            self._waiting = bytearray()
            self._tap.quiet = False
            self._tap.deadline(self._write_ms)
            self._guarded(self._stream.write, data)

    def recv_into(self, buf: bytearray, size: int) -> int:
        """At least one byte, or OSError: ETIMEDOUT at the time limit, ECONNRESET at the end."""
        self.flush()
        self._tap.quiet = True
        self._tap.deadline(self._timeout_ms)
        view = memoryview(buf)[:size]
        while True:
            count = self._guarded(self._stream.readinto, view)
            if count:
                break
            if count == 0 or self._tap.ended:
                self.closed = True
                raise OSError(errno.ECONNRESET, "closed")
            if self._tap.left() == 0:
                raise OSError(errno.ETIMEDOUT, "nothing yet")
        if len(self.first) < FIRST:
            self.first += bytes(view[: min(count, FIRST - len(self.first))])
        return count

    def _guarded(self, call: object, data: object) -> "int | None":
        try:
            return call(data)
        except OSError as error:
            self.closed = True
            self.error = self.error or error
            raise OSError(errno.ECONNRESET, "closed")

    def close(self) -> None:
        """Send what was held back and let go; the ladder closes the connection."""
        try:
            if not self.closed:
                self.flush()
        except OSError:
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
