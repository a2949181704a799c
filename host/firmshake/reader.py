"""Finds the events in whatever comes over a serial line: bytes in, events and other output out.

Does no I/O. Rules that hold here:
- how the bytes are cut into feeds changes nothing in what comes out;
- nothing is lost: what is no event comes out as Output, byte for byte, but for the line end of
  an event and the remarks that belong to a failure or a warning;
- at most LONGEST bytes are kept, and the time taken is linear in the bytes fed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from firmshake.event import Event, Output
from firmshake_agent.line import FIX, MARK, WHY, parse_line

# A longer line is passed on in pieces. Four times the longest line of the protocol.
LONGEST = 4096

_MARK = MARK.encode()
_REMARKS = (WHY.encode(), FIX.encode())
_DIGITS = 4  # of the checksum, after " *"

# LF, with any number of CR before it, or a CR that is followed by neither
_LINE_END = re.compile(rb"\n|\r(?=[^\r\n])")


class Reader:
    """A serial line's bytes, read as the protocol."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # up to here the buffer holds no line end
        self._failure: Event | None = None  # or a warning: its remarks may still follow
        self._found: list[Event | Output] = []

    def feed(self, data: bytes) -> list[Event | Output]:
        """What is complete with these bytes, in the order in which it was sent."""
        self._buffer += data
        start = 0
        while end := _line_end(self._buffer, start, max(start, self._searched)):
            self._take(bytes(self._buffer[start:end]))
            start = end
        del self._buffer[:start]
        self._searched = max(len(self._buffer) - 1, 0)  # a CR at the end is not decided yet
        return self._give()

    def quiet(self) -> list[Event | Output]:
        """What need not wait any longer, where nothing has come for a while.

        That is a failure whose remarks did not follow, and a half line such as a prompt, unless
        an event or a remark may have begun in it.
        """
        if not (self._may_hold_event() or self._may_hold_remark()):
            return self.close()
        return []

    def close(self) -> list[Event | Output]:
        """What is left at the end of the line."""
        if self._buffer:
            self._take(bytes(self._buffer))
            self._buffer.clear()
            self._searched = 0
        self._release()
        return self._give()

    def _may_hold_event(self) -> bool:
        return _MARK in self._buffer or _half_mark(self._buffer) > 0

    def _may_hold_remark(self) -> bool:
        if self._failure is None or not self._buffer:
            return False
        half = bytes(self._buffer)
        return any(mark.startswith(half) or half.startswith(mark) for mark in _REMARKS)

    def _take(self, line: bytes) -> None:
        """Find the events in a line; the text around them is Output."""
        if self._is_remark(line):
            return
        done = 0
        for start, end, event in _events(line):
            if start > done:
                self._put(Output(line[done:start]))
            self._put(event)
            done = end
        if line[done:].strip(b"\r\n") or not done:
            self._put(Output(line[done:]))

    def _is_remark(self, line: bytes) -> bool:
        """Add the line to the failure before it, where it is a remark on it."""
        failure = self._failure
        if failure is None:
            return False
        text = line.decode("utf-8", "replace").strip()
        if text.startswith(WHY) and not failure.why:
            self._failure = replace(failure, why=text[len(WHY) :])
        elif text.startswith(FIX) and not failure.fix:
            self._failure = replace(failure, fix=text[len(FIX) :])
        else:
            return False
        if self._failure.why and self._failure.fix:
            self._release()
        return True

    def _put(self, item: Event | Output) -> None:
        self._release()
        if isinstance(item, Event) and item.state in ("fail", "warn"):
            self._failure = item
        else:
            self._found.append(item)

    def _release(self) -> None:
        if self._failure is not None:
            self._found.append(self._failure)
            self._failure = None

    def _give(self) -> list[Event | Output]:
        found, self._found = self._found, []
        return found


def _line_end(buffer: bytearray, start: int, search: int) -> int:
    """Where the line, or piece of one, that begins at `start` ends; 0 while that is open."""
    match = _LINE_END.search(buffer, search, start + LONGEST)
    if match:
        return match.end()
    if len(buffer) - start < LONGEST:
        return 0
    return start + _piece(buffer[start : start + LONGEST])


def _piece(window: bytearray) -> int:
    """How much of an overlong line can be passed on without cutting an event or a character."""
    mark = window.rfind(_MARK)
    if mark > 0:
        return mark
    if half := _half_mark(window):
        return len(window) - half
    for back in range(1, 4):  # a character of UTF-8 has at most three bytes after its first
        if window[-back] & 0xC0 == 0xC0:
            return len(window) - back
        if window[-back] < 0x80:
            break
    return len(window)


def _half_mark(text: bytearray) -> int:
    """How many bytes at the end of the text may be the beginning of a mark."""
    return next((n for n in range(len(_MARK) - 1, 0, -1) if text.endswith(_MARK[:n])), 0)


def _events(line: bytes) -> Iterator[tuple[int, int, Event]]:
    """The intact events in a line: where each begins, where it ends, and what it is."""
    search = 0
    while (start := line.find(_MARK, search)) >= 0:
        star = line.find(b" *", start + len(_MARK))
        if star < 0:
            return
        # the last mark before the checksum: a reset leaves half a line before the whole one
        start = line.rfind(_MARK, start, star)
        end = star + 2 + _DIGITS
        parsed = parse_line(line[start:end].decode("utf-8", "replace"))
        search = end if parsed else star + 2
        if parsed:
            seq, ms, stage, state, fields = parsed
            yield start, end, Event(seq, ms, stage, state, dict(fields))
