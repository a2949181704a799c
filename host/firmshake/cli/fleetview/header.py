"""The top of the live view: how the whole run stands, in digits of blocks. Does no I/O."""

from __future__ import annotations

from firmshake.cli.fleetview import digits, words
from firmshake.cli.fleetview.styles import Piece, Row
from firmshake.fleet.row import Totals

# below these, a screen has better uses for its lines
_LEAST_HEIGHT, _LEAST_WIDTH = 16, 50
_GAP = "   "
# what the figures beside the digits need
_FIGURES = 22


def lines(totals: Totals, note: str, width: int, height: int, ascii_only: bool) -> list[Row]:
    """Return the top's lines for a screen of that size; none is wider."""
    proved, failed = _digits(totals)
    for dot in (2, 1):
        taken = digits.width(proved, dot) + digits.width(failed, dot) + 2 * len(_GAP)
        if height >= _LEAST_HEIGHT and width >= max(taken + _FIGURES, _LEAST_WIDTH):
            return _tall(totals, note, width, dot, "#" if ascii_only else "█")
    return _short(totals, note, width)


def _digits(totals: Totals) -> tuple[str, str]:
    of = "" if totals.wanted is None else f"/{totals.wanted}"
    return f"{totals.proved}{of}", str(totals.failed)


def _figures(totals: Totals) -> list[str]:
    """Rate, time and the like in words, at most as many as a digit has lines."""
    said = [
        *words.pace(totals),
        words.left(totals),
        f"{totals.working} working",
        f"{totals.here} proved here" if totals.here != totals.proved else "",
    ]
    return [text for text in said if text]


def _tall(totals: Totals, note: str, width: int, dot: int, block: str) -> list[Row]:
    proved, failed = _digits(totals)
    good, bad = digits.large(proved, dot, block), digits.large(failed, dot, block)
    beside = _figures(totals) + [""] * digits.HEIGHT
    made: list[Row] = []
    for number in range(digits.HEIGHT):
        room = width - len(good[number]) - len(bad[number]) - 2 * len(_GAP)
        figure = words.fit(beside[number], room).rstrip()
        made.append(
            (
                (good[number] + _GAP, "digits proved"),
                (bad[number] + _GAP, "digits failed" if totals.failed else "dim"),
                (figure, "bold"),
            )
        )
    caption = "PROVED" if totals.wanted is None else "PROVED / WANTED"
    captions: Row = (
        (words.fit(caption, len(good[0])) + _GAP, "bold"),
        ("FAILED", "bold"),
    )
    return [*made, captions, _note(note, width)]


def _short(totals: Totals, note: str, width: int) -> list[Row]:
    style = "failed" if totals.failed else "bold"
    text = ", ".join([words.progress(totals), *_figures(totals)])
    first: Piece = (words.fit(text, width), style)
    return [(first,), _note(note, width)]


def _note(note: str, width: int) -> Row:
    return ((words.fit(note, width).rstrip(), "dim"),)
