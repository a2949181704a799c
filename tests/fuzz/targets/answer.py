"""The reader of a server's answer to a ClientHello, on this computer."""

from __future__ import annotations

from dataclasses import replace

from firmshake.serverview.answer import Answer, Reader
from fuzz import wire

WORK = 60
HARD = (
    (b"", b"\x16\x03\x03\x00\x04\x0d\x00\x00\x00"),
    (b"\x16\x03\x03\x1f\x00", b"\x0d\x00\x00\x00"),
    (b"\x16\x03\x03\x1f\x00\x0b\x00\x1e\xfc\x00\x1e\xf9", b"\x00\x00\x00"),
    (b"", b"\x16\x03\x03\x00\x00"),
)


def one(data: bytes) -> None:
    """Read it whole and in small parts: the same is known."""
    whole, other = _read(data, 0), _read(data, wire.small(data))
    # where a few bytes settle it, no more of them are looked at
    assert data.startswith(whole.first)
    assert whole.first.startswith(other.first)
    assert replace(other, first=whole.first) == whole, "the cut makes a difference"
    kept = sum(map(len, (*whole.certificates, *whole.authorities, whole.first)))
    assert kept <= 3 * len(data) + 16
    assert whole.alert is None or 0 <= whole.alert <= 255


def _read(data: bytes, size: int) -> Answer:
    made = Reader()
    for piece in wire.cut(data, size):
        made.feed(piece)
    return made.answer
