"""What stays on the screen when a run has ended: every board, what failed and why, the totals."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from firmshake.cli.fleetview import layout, words
from firmshake.cli.fleetview.styles import STYLES, Row
from firmshake.fleet.row import BoardRow, Totals
from firmshake.ladderview import Hanging, Line
from firmshake.wording import printable

_SAID = 8  # the column of why and fix


def show(
    console: Console,
    rows: Sequence[BoardRow],
    failures: Sequence[BoardRow],
    totals: Totals | None,
    now: float,
) -> None:
    """Print how each board stands, each failure with why and fix, and the totals."""
    parts = layout.columns(console.width, rows, console.options.ascii_only)
    for row in rows:
        console.print(Line(_text(layout.board_line(row, words.elapsed_s(row, now), parts))))
    for row in failures:
        _failure(console, row)
    if totals is not None:
        console.print(Text(words.summary(totals), "bold"))


def _failure(console: Console, row: BoardRow) -> None:
    name = " ".join(filter(None, [words.port(row.port), words.device(row)]))
    console.print()
    console.print(Line(Text.assemble((f"{name} failed", "bold red"), f" {printable(row.verdict)}")))
    for label, text in (("why", row.words), ("fix", row.fix)):
        if text:
            console.print(Hanging(Text(label, "bold"), Text(printable(text)), _SAID, indent=2))


def _text(row: Row) -> Text:
    return Text.assemble(*((text, STYLES.get(style, "")) for text, style in row))
