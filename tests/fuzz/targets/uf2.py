"""The reader of UF2."""

from __future__ import annotations

import itertools

from firmshake import uf2
from firmshake.errors import Error

WORK = 20
_HEAD = b"UF2\n\x57\x51\x5d\x9e"
HARD = ((_HEAD, b"\0"), (b"", (_HEAD + b"\0" * 500 + b"\x30\x6f\xb1\x0a")))


def one(data: bytes) -> None:
    """Parse it: what is there was in the file, and lies in order."""
    try:
        found = uf2.parse(data)
    except Error:
        return
    assert sum(part.blocks for part in found.parts) + len(found.broken) <= len(data) // uf2.BLOCK
    for part in found.parts:
        assert part.name
        assert sum(len(run.data) for run in part.runs) <= len(data)
        starts = [run.offset for run in part.runs]
        assert all(a <= b for a, b in itertools.pairwise(starts))
        assert len(part.missing) <= 2 * part.blocks + 1000
