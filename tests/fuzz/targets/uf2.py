"""The reader of UF2, and the writer on what it has read."""

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
        if part.family is not None:
            _again(found, part)


def _again(found: uf2.Uf2, part: uf2.Part) -> None:
    """What is written from it, where it can be, holds the same bytes at the same places."""
    try:
        file = uf2.merge(found, [], part.family or 0)
    except Error:
        return
    made = uf2.parse(file)
    assert file.startswith(found.lead)
    (same,) = (one for one in made.parts if one.family == part.family)
    assert not (made.broken or made.rest or same.missing or same.repeated or same.overlaps)
    for run in filter(lambda run: run.data, part.runs):
        start, data = next((o, d) for o, d in same.runs if o <= run.offset <= o + len(d))
        assert data[run.offset - start :][: len(run.data)] == run.data
