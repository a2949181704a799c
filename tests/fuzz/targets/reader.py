"""The reader of the serial line, with all that is made of a board's output."""

from __future__ import annotations

from firmshake import reader as module
from firmshake.event import Event, Output
from firmshake.reader import Reader
from firmshake.symptoms import Symptoms
from firmshake.verdict import judge
from firmshake_agent.line import parse_line
from fuzz import wire

WORK = 120
HARD = (
    (b"", b"@fs1 "),
    (b"", b"@fs1 *"),
    (b"", b"@fs1 0 0 a b *0000"),
    (b"", b" *"),
    (b"", b"\r"),
    (b"@fs1 0 0 tcp fail cause=refused *0000\n", b"- why: "),
    (b"", b"%"),
)


def one(data: bytes) -> None:
    """Read it whole, byte by byte and in pieces: the same comes out, and nothing is lost."""
    whole = _read(data, 0)
    for size in (wire.small(data), 1 + data[0] if data else 1):
        assert _read(data, size) == whole, "the cut makes a difference"
    _nothing_lost(data, whole)
    symptoms = Symptoms()
    for item in whole:
        if isinstance(item, Output):
            symptoms.see(item)
        else:
            _look(item)
    symptoms.silence()
    judge(item for item in whole if isinstance(item, Event))
    parse_line(data.decode("utf-8", "replace"))


def _read(data: bytes, size: int) -> list[Event | Output]:
    made = Reader()
    found: list[Event | Output] = []
    for piece in wire.cut(data, size):
        found += made.feed(piece)
        assert len(made._buffer) <= module.LONGEST, "it keeps what it is sent"
    return found + made.close()


def _nothing_lost(data: bytes, found: list[Event | Output]) -> None:
    at = 0
    for item in found:
        if isinstance(item, Output):
            assert len(item.data) <= module.LONGEST
            at = data.find(item.data, at) + len(item.data)
            assert at >= len(item.data), "output that never came"
    if not any(isinstance(item, Event) for item in found):
        assert b"".join(item.data for item in found if isinstance(item, Output)) == data


def _look(event: Event) -> None:
    assert event.took_ms is None or event.took_ms >= 0
    assert event.evidence.items() <= event.fields.items()
