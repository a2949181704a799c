"""What it means for a board, and for the slot that it has, how its worker ended. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from firmshake.fleet import message
from firmshake.fleet.message import Fields
from firmshake.fleet.row import BoardRow, BoardState
from firmshake.registry.fleetrecord import SlotStatus

# A line that broke may be chance; a board that fails twice has a reason. A second attempt begins
# after a moment, in which the computer may find the port again
_ATTEMPTS = 2
_AGAIN_S = 1.5
# a board that somebody else is working on, or a registry that is away: longer each time
_LATER_S = 5.0
_LATEST_S = 60.0
# of one board: what is killed so often is killed for a reason
_MOST_KILLS = 20
_PROVED = "take it out: it connects with its certificate"
_UNPLUGGED = "it was unplugged before it was done"
_WHO_KILLS = "look why the system kills processes: it may lack memory"


@dataclass(frozen=True)
class Ending:
    """The work on a board is over for now.

    `status` is how its slot ends, None where the claim is kept for another attempt, which begins in
    `again_s` seconds. `changes` are those of its row besides.
    """

    state: BoardState
    words: str
    status: SlotStatus | None = None
    again_s: float | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)


def outcome(said: Fields, is_proved: bool) -> Ending:
    """Return how it ended for a board that has reported. `is_proved` is the desk's own word."""
    changes: dict[str, Any] = {
        "verdict": message.maybe_text(said, "verdict") or "",
        "serial_number": message.text(said, "serial"),
    }
    if is_proved:
        return Ending("proved", _PROVED, "proved", changes=changes)
    changes["fix"] = message.text(said, "fix")
    return Ending("failed", message.text(said, "why"), "failed", changes=changes)


def turned_away(said: Fields, later: bool, tries: int) -> Ending:
    """Return how it ended for a board that gets nothing; with `later` it is asked for again."""
    words = message.text(said, "text")
    if later:
        again_s = min(_LATER_S * 2**tries, _LATEST_S)
        return Ending("waiting", words, "open", again_s)
    return Ending("refused", words, "open", changes={"fix": message.text(said, "hint")})


def error(row: BoardRow, said: Fields, is_there: bool) -> Ending:
    """Return how it ended where the work could not be done; `is_there`: it is still plugged in."""
    words, fix = message.text(said, "text"), message.text(said, "hint")
    if not is_there:
        return Ending("gone", _UNPLUGGED, "open", changes={"fix": "plug it in again"})
    end = Ending("failed", words, "failed", changes={"fix": fix})
    # what is no board gets no second attempt
    return end if said.get("refused") is True else _again(row, words) or end


def death(row: BoardRow, words: str, kills: int) -> Ending:
    """Return how it ended where the worker did not live; `kills` is how often it was killed."""
    if 0 < kills <= _MOST_KILLS:
        return Ending("waiting", f"{words}; trying again", again_s=_AGAIN_S)
    fix = _WHO_KILLS if kills else "run the same command again; if that stays so, report it"
    return (None if kills else _again(row, words)) or Ending(
        "failed", words, "failed", changes={"fix": fix}
    )


def silence(limit_s: float) -> Ending:
    """Return how it ended where the worker has said nothing for that long."""
    words = f"its process has said nothing for {limit_s / 60:.0f} minutes"
    fix = "unplug the board and plug it in again; its port or its drive may hang"
    return Ending("failed", words, "failed", changes={"fix": fix})


def _again(row: BoardRow, words: str) -> Ending | None:
    if row.attempt >= _ATTEMPTS:
        return None
    changes = {"attempt": row.attempt + 1}
    return Ending("waiting", f"{words}; trying again", again_s=_AGAIN_S, changes=changes)
