"""What stays on the screen when a run has ended: every board, what failed and why, the totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from firmshake.cli.fleetview import layout, words
from firmshake.cli.fleetview.styles import STYLES, Row
from firmshake.fleet.row import BoardRow, Totals
from firmshake.ladderview import Hanging, Line
from firmshake.wording import printable

_SAID = 10  # the column of what is said of a failure


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
    console.print()
    alike: dict[tuple[str, str, str], list[str]] = {}
    for row in failures:
        name = " ".join(filter(None, [words.port(row.port), words.device(row)]))
        alike.setdefault((row.verdict, row.words, row.fix), []).append(name)
    for (verdict, why, fix), names in alike.items():
        _failure(console, verdict, {"why": why, "fix": fix, "boards": ", ".join(names)})
    if totals is not None:
        console.print(Text(words.summary(totals), "bold"))


def _failure(console: Console, verdict: str, said: Mapping[str, str]) -> None:
    """What several boards may have failed with."""
    title = Text.assemble(("failed", "bold red"), f" {printable(verdict)}".rstrip())
    console.print(Line(title))
    for label, text in said.items():
        if text:
            console.print(Hanging(Text(label, "bold"), Text(printable(text)), _SAID, indent=2))


def _text(row: Row) -> Text:
    return Text.assemble(*((text, STYLES.get(style, "")) for text, style in row))
