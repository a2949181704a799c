"""The tap: between the runtime's TLS and the socket it keeps the time and feeds the observer.

To TLS it is a stream (`readinto`, `write`, `ioctl`, `close`). The raw socket beneath is
non-blocking and is reached through the runtime's `read_some` and `write_some`, which answer None
where nothing can be moved now.
"""

import errno
import io

# MicroPython's TLS wants a stream that inherits from IOBase; CPython's IOBase would close itself
# in its finaliser, which a plain object does not.
_Stream = getattr(io, "IOBase", object)

# A server that refuses us has often said why before it closed: how long to listen for that, in ms.
LAST_WORD_MS = 300

# Where a runtime lacks the name: the number that Linux and lwIP share.
_EPIPE = getattr(errno, "EPIPE", 32)


class Tap(_Stream):
    """One connection as TLS sees it.

    - `deadline(ms)`: how long reads and writes may take from now on, in all;
    - `late`: the time limit was hit; `ended`: the server closed; `errno`: the socket's error or 0;
    - `quiet`: at the time limit a read answers None ("nothing yet") rather than an error, which
      MicroPython's TLS would hold against the connection for ever.
    """

    def __init__(self, runtime: object, sock: object, observer: object) -> None:
        self.late = False
        self.ended = False
        self.errno = 0
        self.quiet = False
        self._runtime = runtime
        self._sock = sock
        self._observer = observer
        self._since = runtime.ticks()
        self._limit = 0

    def deadline(self, ms: int) -> None:
        """Start a time limit of so many milliseconds."""
        self._since = self._runtime.ticks()
        self._limit = ms
        self.late = False

    def left(self) -> int:
        """Milliseconds until the time limit, 0 when it has passed."""
        return max(0, self._limit - self._runtime.since(self._since))

    def readinto(self, buf: bytearray) -> "int | None":
        """Bytes read, 0 at the end of the stream, None at a quiet time limit, else -errno."""
        while True:
            if self._limit and not self.quiet and self.left() == 0:  # it may talk for ever
                self.late = True
                return -errno.ETIMEDOUT
            try:
                count = self._runtime.read_some(self._sock, buf)
            except OSError as error:
                return -self._failed(error)
            if count is None:
                left = self.left()
                if left == 0:
                    self.late = True
                    return None if self.quiet else -errno.ETIMEDOUT
                self._runtime.wait(self._sock, True, left)
                continue
            if count == 0:
                self.ended = True
            else:
                self._observer.received(memoryview(buf)[:count])
            return count

    def write(self, buf: bytes) -> int:
        """Write all of buf; its length, or -errno."""
        view = memoryview(buf)
        done = 0
        while done < len(view):
            try:
                count = self._runtime.write_some(self._sock, view[done:])
            except OSError as error:
                code = self._failed(error)
                self.listen()  # the server has usually said why first
                return -code
            if count is None:
                left = self.left()
                if left == 0:
                    self.late = True
                    return -errno.ETIMEDOUT
                self._runtime.wait(self._sock, False, left)
                continue
            self._observer.sent(view[done : done + count])
            done += count
        return done

    def ioctl(self, request: int, argument: int) -> int:
        """Nothing to control: MicroPython's streams have to answer."""
        return 0

    def close(self) -> None:
        """Nothing is closed here: the socket belongs to who opened it."""

    def listen(self, ms: int = LAST_WORD_MS) -> None:
        """Read what the server has sent already, for the observer alone, until it falls silent.

        One that never does is heard for LAST_WORD_MS beyond `ms`.
        """
        buf = bytearray(64)
        started = self._runtime.ticks()
        while not self.ended:
            left = ms - self._runtime.since(started)
            try:
                count = self._runtime.read_some(self._sock, buf)
            except OSError as error:
                self._failed(error)
                return
            if count is None:
                if left <= 0:
                    return
                self._runtime.wait(self._sock, True, left)
            elif count == 0:
                self.ended = True
            else:
                self._observer.received(memoryview(buf)[:count])
                if left < -LAST_WORD_MS:
                    return

    def _failed(self, error: OSError) -> int:
        code = error.args[0] if error.args else 0
        # the first error names the fault, later ones only follow from it
        self.errno = self.errno or code
        return code or _EPIPE
