"""The boards of the live view, laid out for a screen of any size. Does no I/O.

Where all boards have room, each stays in its place. Where they do not, those come first that
somebody has to look at, and the rest are counted.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from firmshake.cli.fleetview import words
from firmshake.cli.fleetview.styles import Piece, Row
from firmshake.fleet.row import BoardRow, BoardState
from firmshake.wording import printable

# with a space on each side
_STATE = words.STATE_WIDTH + 2
# a column of boards shows all of a board from the first width on, and what matters from the second
_WIDE, _NARROW = 76, 38
_GAP = "  "
_LONGEST_PORT, _LONGEST_DEVICE = 14, 28
_TIME, _BAR, _PERCENT = 7, 10, 5
# less of a text says nothing
_LEAST_TEXT = 12

_NO_GOOD_END = ("failed", "refused", "gone")

# which boards are shown where not all can be
_URGENCY: dict[BoardState, int] = {
    "failed": 0,
    "refused": 1,
    "gone": 2,
    "working": 3,
    "waiting": 4,
    "proved": 5,
}


@dataclass(frozen=True)
class Columns:
    """How many columns each part of a board's line has; 0 where it is left out."""

    width: int
    port: int
    device: int
    time: int
    bar: int
    text: int
    ascii_only: bool

    @property
    def rest(self) -> int:
        """What bar and text have together."""
        return self.text + (self.bar + 1 if self.bar else 0)


def columns(width: int, rows: Sequence[BoardRow], ascii_only: bool = False) -> Columns:
    """Return the parts of a line that is `width` wide, by what the boards are called."""
    left = width - _STATE
    port = min(max((len(words.port(row.port)) for row in rows), default=1), _LONGEST_PORT)
    device = max((len(words.device(row)) for row in rows), default=1)
    device = min(device, _LONGEST_DEVICE, max(left - port - 2, 1))
    if width >= _WIDE:  # what it does needs as much room as what it is called
        device = min(device, (left - port - _TIME - _BAR) // 2)
    left -= port + device + 2
    time = _TIME if left > _TIME + _PERCENT else 0
    left -= time + 1 if time else 0
    bar = _BAR if left > _BAR + _LEAST_TEXT else 0
    left -= bar + 1 if bar else 0
    return Columns(width, port, device, time, bar, max(left - 1, 0), ascii_only)


def lines(
    rows: Sequence[BoardRow], now: float, width: int, height: int, ascii_only: bool = False
) -> list[Row]:
    """Return at most `height` lines of at most `width` columns that show the boards."""
    if height < 1:
        return []
    across = _across(len(rows), width, height)
    each = (width - len(_GAP) * (across - 1)) // across
    parts = columns(each, rows, ascii_only)
    room = across * height
    if len(rows) <= room:
        return _beside(_pack(rows, now, parts, height, room - len(rows)), each)
    ordered = sorted(rows, key=lambda row: _URGENCY[row.state])
    room -= across  # a line says what is not shown
    failed = sum(row.state == "failed" for row in rows)
    spare = 2 * failed if 6 * failed <= room else 0
    shown, rest = ordered[: room - spare], ordered[room - spare :]
    packed = _pack(shown, now, parts, height - 1, spare)
    return [*_beside(packed, each), ((words.fit(_count(rest), width), "bold"),)]


def _across(boards: int, width: int, height: int) -> int:
    """How many columns of boards there are: as few as hold all, and wide ones where they can."""
    most = max(width // _NARROW, 1)
    return min(max(-(-boards // height), 1), most)


def _pack(
    rows: Sequence[BoardRow], now: float, parts: Columns, height: int, spare: int
) -> list[list[Row]]:
    """The boards' lines, column by column; why and fix below what failed, where there is room."""
    packed: list[list[Row]] = [[]]
    for row in rows:
        if len(packed[-1]) >= height:
            packed.append([])
        column = packed[-1]
        column.append(board_line(row, words.elapsed_s(row, now), parts))
        details = _details(row, parts)
        if details and len(details) <= min(spare, height - len(column)):
            column.extend(details)
            spare -= len(details)
    return packed


def _beside(packed: list[list[Row]], each: int) -> list[Row]:
    """The columns beside each other."""
    blank: Row = ((" " * each, ""),)
    made = []
    for number in range(len(packed[0])):
        row: Row = packed[0][number]
        for column in packed[1:]:
            row += ((_GAP, ""), *(column[number] if number < len(column) else blank))
        made.append(row)
    return made


@functools.lru_cache(maxsize=1024)
def board_line(row: BoardRow, seconds: int | None, parts: Columns) -> Row:
    """Return the board's line, as wide as `parts` say; `seconds` is how long it has taken."""
    pieces: list[Piece] = [
        (f" {words.STATES[row.state]:<{words.STATE_WIDTH}} ", row.state),
        (" " + words.fit(words.port(row.port), parts.port), "bold"),
        (" " + words.fit_middle(words.device(row), parts.device), ""),
    ]
    if parts.time:
        time = "" if seconds is None else words.span(seconds)
        pieces.append((f" {time:>{_TIME}}", ""))
    return (*pieces, *_rest(row, parts))


def _rest(row: BoardRow, parts: Columns) -> list[Piece]:
    """Bar and text; the text of what came to no good end takes the bar's place as well."""
    text = words.outcome(row)
    if row.state in _NO_GOOD_END:
        return [(" " + words.fit(text, parts.rest), "wrong")] if parts.rest >= _PERCENT else []
    pieces: list[Piece] = []
    if parts.bar:
        pieces = [(" ", ""), *_bar(row, parts.ascii_only)]
    elif row.state == "working":
        text = f"{_done(row):4.0%} {text if parts.text > _LEAST_TEXT else ''}"
    if parts.text >= _PERCENT:
        pieces.append((" " + words.fit(text, parts.text), ""))
    return pieces


def _bar(row: BoardRow, ascii_only: bool) -> tuple[Piece, Piece]:
    full, empty = ("#", "-") if ascii_only else ("█", "░")
    proved = row.state == "proved"
    cells = int(_done(row) * _BAR)
    return (full * cells, "bar proved" if proved else "bar"), (empty * (_BAR - cells), "dim")


def _done(row: BoardRow) -> float:
    return 1.0 if row.state == "proved" else min(max(row.done, 0.0), 1.0)


def _details(row: BoardRow, parts: Columns) -> list[Row]:
    """Why, where the board's line has no room for it, and what to do, a line each."""
    if row.state not in _NO_GOOD_END:
        return []
    said = [words.outcome(row)] if is_cut(row, parts) else []
    if row.fix:
        said.append(f"fix: {printable(row.fix)}")
    return [((words.fit(f"    {text}", parts.width), "wrong"),) for text in said]


def is_cut(row: BoardRow, parts: Columns) -> bool:
    """Return whether the line of a board that came to no good end has no room for why."""
    return cell_len(words.outcome(row)) > parts.rest


def _count(rest: Sequence[BoardRow]) -> str:
    """What is not shown, counted by its state."""
    by_state = Counter(row.state for row in rest)
    parts = [f"{by_state[state]} {words.STATES[state]}" for state in _URGENCY if by_state[state]]
    return f"and {len(rest)} more: {', '.join(parts)}"
