"""What a worker tells, as a board's row. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from firmshake.fleet import message
from firmshake.fleet.message import Fields, Nonsense
from firmshake.fleet.row import BoardRow

# how much of all the work is done when each begins; writing takes most of it
_FOUND, _ISSUED, _WRITTEN = 0.05, 0.15, 0.75
_LADDER = ("identity", "wifi", "clock", "dns", "tcp", "tls", "websocket", "mqtt", "subscribe")


def after(row: BoardRow, said: Fields) -> BoardRow:
    """Return the row after the worker has said that. Raises Nonsense where it makes no sense."""
    tell = _TOLD.get(message.text(said, "tell"))
    if tell is None:
        raise Nonsense("an unknown message")
    return tell(row, said)


def _words(row: BoardRow, said: Fields) -> BoardRow:
    return replace(row, words=message.text(said, "text"))


def _step(row: BoardRow, said: Fields) -> BoardRow:
    text = message.text(said, "text")
    stage, done = row.stage, row.done
    if text.startswith("found "):
        stage, done = "claim", _FOUND
    elif text.startswith("issued "):
        stage, done = "issue", _ISSUED
    elif text.startswith("reset "):
        stage, done = "proof", _WRITTEN
    return replace(row, words=text, stage=stage, done=max(done, row.done))


def _writing(row: BoardRow, said: Fields) -> BoardRow:
    done, total = message.whole(said, "done"), message.whole(said, "total")
    share = min(done / total, 1.0) if total else 1.0
    return replace(
        row,
        stage="write",
        words=f"writing, {share:.0%}",
        done=_ISSUED + (_WRITTEN - _ISSUED) * share,
    )


def _stage(row: BoardRow, said: Fields) -> BoardRow:
    stage, verdict = message.text(said, "stage"), message.text(said, "verdict")
    at = _LADDER.index(stage) if stage in _LADDER else len(_LADDER)
    done = _WRITTEN + (1 - _WRITTEN) * at / len(_LADDER)
    words = f"{verdict}; the board tries again" if verdict else f"its agent: {stage}"
    fix = message.text(said, "fix") or row.fix
    return replace(row, stage=stage, words=words, done=max(done, row.done), fix=fix)


_TOLD: Mapping[str, Callable[[BoardRow, Fields], BoardRow]] = {
    "begin": _words,
    "step": _step,
    "please": _words,
    "writing": _writing,
    "stage": _stage,
}
