"""What stays on the screen when a run has ended: every board, what failed and why, the totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from firmshake.cli.fleetview import layout, words
from firmshake.cli.fleetview.styles import STYLES, Row
from firmshake.fleet.row import BoardRow, BoardState, Totals
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
    """Print how each board stands, each failure with why and fix, and the totals.

    So is what was not wanted, where its line has no room to say why.
    """
    parts = layout.columns(console.width, rows, console.options.ascii_only)
    for row in rows:
        console.print(Line(_text(layout.board_line(row, words.elapsed_s(row, now), parts))))
    console.print()
    refused = [row for row in rows if row.state == "refused" and layout.is_cut(row, parts)]
    alike: dict[tuple[BoardState, str, str, str], list[str]] = {}
    for row in [*failures, *refused]:
        name = " ".join(filter(None, [words.port(row.port), words.device(row)]))
        alike.setdefault((row.state, row.verdict, row.words, row.fix), []).append(name)
    for (state, verdict, why, fix), names in alike.items():
        said = f" {printable(verdict)}".rstrip()
        title = Text.assemble((words.STATES[state].lower(), "bold red"), said)
        _explain(console, title, {"why": why, "fix": fix, "boards": ", ".join(names)})
    if totals is not None:
        console.print(Text(words.summary(totals, ended=True), "bold"))


def _explain(console: Console, title: Text, said: Mapping[str, str]) -> None:
    """What several boards may have come to."""
    console.print(Line(title))
    for label, text in said.items():
        if text:
            console.print(Hanging(Text(label, "bold"), Text(printable(text)), _SAID, indent=2))


def _text(row: Row) -> Text:
    return Text.assemble(*((text, STYLES.get(style, "")) for text, style in row))
