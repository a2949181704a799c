"""A hostile server's end of a connection: bytes in pieces, then a close or silence.

Time passes only here: READ_MS for each read, and all that is left of a time limit in silence.
"""

from __future__ import annotations

from collections.abc import Iterator

READ_MS = 10
# what the first byte of the data decides: the size of the pieces, and how it ends
_SIZES = (0, 1, 2, 3, 5, 16, 64, 300)
_SILENT = 0x08
_BROKEN = 0x10


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """The data in pieces of a size; whole where that is 0."""
    step = size or max(len(data), 1)
    return (data[at : at + step] for at in range(0, len(data), step))


def small(data: bytes) -> int:
    """A size to cut into: single bytes, but for much data, which would take a fuzzer's time."""
    return 1 + len(data) // 1024


class Wire:
    """Runtime, TLS stream and tap in one, as the agent uses them; `data[0]` says how it behaves.

    `reads` and `writes` count the calls, `largest` is the most that a read had room for.
    """

    def __init__(self, data: bytes) -> None:
        how = data[0] if data else 0
        self.body = data[1:]
        self.size = _SIZES[how & 7]
        self.reads = self.writes = self.largest = 0
        self.written = b""
        self.ended = False
        self.quiet = False
        self.errno = 0
        self.time = 0
        self._ends = not how & _SILENT
        self._breaks = bool(how & _BROKEN)
        self._at = 0
        self._until = 0

    # the runtime

    def ticks(self) -> int:
        return self.time

    def since(self, ticks: int) -> int:
        return self.time - ticks

    def random(self) -> int:
        """Always the same: what was recorded once is right again."""
        return 7

    def tls_words(self, error: object, tap: object) -> tuple[str, ...]:
        return ("reset",)

    # the tap

    def deadline(self, ms: int) -> None:
        self._until = self.time + ms

    def left(self) -> int:
        return max(0, self._until - self.time)

    # the stream

    def write(self, data: bytes) -> int:
        self.writes += 1
        self.written = bytes(data)
        return len(data)

    def readinto(self, buf: bytearray | memoryview) -> int | None:
        self.reads += 1
        self.time += READ_MS
        self.largest = max(self.largest, len(buf))
        rest = len(self.body) - self._at
        if rest == 0:
            return self._end()
        # no further than to the end of the piece
        piece = self.size - self._at % self.size if self.size else rest
        count = min(len(buf), rest, piece)
        buf[:count] = self.body[self._at : self._at + count]
        self._at += count
        return count

    def _end(self) -> int | None:
        if not self._ends:
            self.time = max(self.time, self._until)
            return None
        if self._breaks:
            raise ConnectionResetError(104, "reset")
        self.ended = True
        return 0
