"""What a worker tells, as a board's row. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from firmshake.event import STAGES as _LADDER
from firmshake.fleet import message
from firmshake.fleet.message import Fields, Nonsense
from firmshake.fleet.row import BoardRow

# how much of all the work is done when each stage begins
_DONE = {"firmware": 0.0, "look": 0.0, "claim": 0.2, "issue": 0.25, "write": 0.3, "proof": 0.8}
# firmware that has to be there before a board can tell who it is
_FIRMWARE_DONE = 0.15


def after(row: BoardRow, said: Fields) -> BoardRow:
    """Return the row after the worker has said that. Raises Nonsense where it makes no sense."""
    tell = _TOLD.get(message.text(said, "tell"))
    if tell is None:
        raise Nonsense("an unknown message")
    return tell(row, said)


def _words(row: BoardRow, said: Fields) -> BoardRow:
    return replace(row, words=message.text(said, "text"))


def _reached(row: BoardRow, said: Fields) -> BoardRow:
    stage = message.text(said, "stage")
    if stage not in _DONE:
        raise Nonsense("an unknown stage")
    # what was said of the stage before is not this one's
    return replace(row, stage=stage, words="", done=max(_DONE[stage], row.done))


def _writing(row: BoardRow, said: Fields) -> BoardRow:
    done, total = message.whole(said, "done"), message.whole(said, "total")
    share = min(done / total, 1.0) if total else 1.0
    begin, end = _DONE["write"], _DONE["proof"]
    if row.stage == "firmware":
        begin, end = _DONE["firmware"], _FIRMWARE_DONE
    at = begin + (end - begin) * share
    return replace(row, words=f"writing, {share:.0%}", done=max(at, row.done))


def _stage(row: BoardRow, said: Fields) -> BoardRow:
    stage, verdict = message.text(said, "stage"), message.text(said, "verdict")
    fix = message.text(said, "fix") or row.fix
    # the row shows the stage
    words = f"{verdict}; the board tries again" if verdict else ""
    if stage not in _LADDER:
        return replace(row, words=words, fix=fix)
    begin = _DONE["proof"]
    done = begin + (1 - begin) * _LADDER.index(stage) / (len(_LADDER) - 1)
    return replace(row, stage=stage, words=words, done=max(done, row.done), fix=fix)


_TOLD: Mapping[str, Callable[[BoardRow, Fields], BoardRow]] = {
    "reached": _reached,
    "words": _words,
    "writing": _writing,
    "stage": _stage,
}
