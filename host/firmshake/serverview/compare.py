"""What a board saw and what this computer sees, side by side, and what follows from the two.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from firmshake.event import STAGES
from firmshake.serverview.conclusions import (
    NO_REPORT,
    READY,
    ROWS,
    WHEN_BEHIND,
    WHEN_READY,
    Row,
)
from firmshake.serverview.finding import ERROR
from firmshake.serverview.view import ServerView
from firmshake.verdict import Verdict


@dataclass(frozen=True)
class Comparison:
    """The two views and what follows: verdicts as text, "no_report" where there was none."""

    board: str
    board_why: str
    computer: str
    computer_why: str
    so: str
    do: str
    because: str


def compare(board: Verdict, computer: Verdict, view: ServerView) -> Comparison:
    """The board's verdict beside this computer's and what the latter found."""
    ours, theirs = computer.verdict or NO_REPORT, board.verdict or NO_REPORT
    found = view.codes()
    row = _row(theirs, ours, found)
    failing = ""
    if row is None and _is_past(_stage(board), _stage(computer)):
        row = _row(theirs, READY, found)
        failing = f" Beyond that, this computer fails at {_stage(computer)}."
    if row is None:
        so, do = default(_stage(board), _stage(computer), theirs == ours)
        because = "no closer rule fits"
    else:
        so, do, because = row.so + failing, row.do, row.because
    why = computer.why or "It connects, and everything works."
    named = [one.text for one in view.findings if row and one.code == row.finding]
    errors = [one.text for one in view.findings if one.level == ERROR]
    return Comparison(
        board=theirs,
        board_why=board.why or "It connects, and everything works.",
        computer=ours,
        computer_why=" ".join([why, *(named or errors)[:1]]),
        so=so,
        do=do or board.fix,
        because=because,
    )


def default(board: str, computer: str, same: bool) -> tuple[str, str]:
    """(what follows, what to do) of two stages alone; `same` is whether the causes are the same."""
    if computer == READY:
        return WHEN_READY[board]
    if board == NO_REPORT:
        return f"The board said nothing, and this computer fails at {computer}.", ""
    if same:
        return "Both see the same: it is not this one board.", ""
    if board == computer:
        return (
            f"Both fail at {board}, for different reasons: mend what this computer sees first.",
            "",
        )
    if computer == NO_REPORT or STAGES.index(computer) < STAGES.index(board):
        return WHEN_BEHIND[computer]
    so, do = WHEN_READY[board]
    return f"{so} Beyond that, this computer fails at {computer}.", do


def _is_past(board: str, computer: str) -> bool:
    """Whether the way to the broker, where the board failed, is behind this computer.

    Whatever fails here after it, the broker is reached: as good as ready for such a board.
    """
    reached = computer in STAGES and board in ("dns", "tcp")
    return reached and STAGES.index(computer) > STAGES.index(board)


def _row(board: str, computer: str, found: Collection[str]) -> Row | None:
    return next((row for row in ROWS if _fits(row, board, computer, found)), None)


def _fits(row: Row, board: str, computer: str, found: Collection[str]) -> bool:
    return (
        fnmatchcase(board, row.board)
        and fnmatchcase(computer, row.computer)
        and (not row.finding or row.finding in found)
    )


def _stage(verdict: Verdict) -> str:
    if verdict.verdict is None or verdict.stage not in STAGES:
        return NO_REPORT
    return verdict.stage
