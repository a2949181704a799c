"""The virtual board's reader of SLIP frames."""

from __future__ import annotations

from firmshake.virtual import slip
from fuzz import wire

WORK = 100
HARD = ((b"", b"\xc0"), (b"\xc0", b"\xdb\xdc"), (b"\xc0", b"a"), (b"", b"\xdb"))


def one(data: bytes) -> None:
    """Read it whole, byte by byte and in pieces: the same frames come out."""
    whole = _read(data, 0)
    for size in (wire.small(data), 1 + data[0] if data else 1):
        assert _read(data, size) == whole, "the cut makes a difference"
    again = b"".join(slip.frame(payload) for payload in whole)
    assert _read(again, 0) == whole
    assert sum(map(len, whole)) <= len(data)


def _read(data: bytes, size: int) -> list[bytes]:
    made = slip.SlipReader()
    found: list[bytes] = []
    for piece in wire.cut(data, size):
        found += made.feed(piece)
        assert len(made._open or b"") <= slip.LONGEST, "it keeps what it is sent"
    return found
