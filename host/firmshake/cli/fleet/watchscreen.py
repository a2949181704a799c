"""`firmshake fleet watch` on a terminal: totals, failing stages as bars, the last verdicts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from firmshake.cli.fleet import watchview
from firmshake.fleet.watch import Counts
from firmshake.fleet.watchmessage import READY
from firmshake.registry.fleetrecord import Diagnosis
from firmshake.wording import printable

# verdicts that are kept to be shown: more than any terminal has lines
_MOST = 200
_NOTES = 2
# stages are a dozen; a terminal of 24 lines has room for verdicts, too
_BARS = 8
# of what stands around them
_FRAME = 9


class Screen:
    """A View for a terminal."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, printable(title)
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._rows: dict[str, tuple[datetime, Diagnosis]] = {}  # the newest is the last
        self._notes: list[str] = []
        self._counts: Counts | None = None

    def heard(self, diagnoses: Sequence[Diagnosis], at: datetime) -> None:
        for one in diagnoses[-_MOST:]:
            self._rows.pop(one.device_id, None)
            self._rows[one.device_id] = at, one
        while len(self._rows) > _MOST:
            del self._rows[next(iter(self._rows))]

    def counts(self, counts: Counts) -> None:
        self._counts = counts
        self._live.update(self._drawn(self._console.height), refresh=True)

    def note(self, text: str) -> None:
        self._notes = [*self._notes, printable(text)][-_NOTES:]

    @contextlib.contextmanager
    def drawn(self) -> Iterator[Self]:
        """Draw until the context ends; then say on the screen as it was before how it went."""
        try:
            with self._live:
                yield self
        finally:
            if self._counts is not None:
                self._console.print(Group(self._head(), *self._bars()))
            for note in self._notes:
                self._console.print(Text(note, "dim"))

    def _drawn(self, height: int) -> RenderableType:
        every = self._bars()
        room = max(height - len(every) - len(self._notes) - _FRAME, 1)
        notes = [Text(note, "dim", no_wrap=True, overflow="ellipsis") for note in self._notes]
        return Group(self._head(), *every, Text(), self._table(room), *notes)

    def _head(self) -> Text:
        counts = self._counts
        assert counts is not None
        line = Text(f"{self._title}  ", "bold", no_wrap=True, overflow="ellipsis")
        line.append(*(("listening", "green") if counts.listening else ("not connected", "red")))
        line.append(f"\n{watchview.summary(counts)}\n", "not bold")
        return line

    def _bars(self) -> list[Text]:
        counts = self._counts
        stages = counts.stages if counts is not None else {}
        if not stages:
            return [Text("no board's last verdict is a failure", "dim")]
        width = max(min(self._console.width // 2, 60), 10)
        lines = watchview.bars(stages, width, self._console.options.ascii_only)
        rest = len(lines) - _BARS
        shown = [Text(line, "red", no_wrap=True) for line in lines[:_BARS]]
        if rest > 0:
            shown.append(Text(f"and {rest} more stages", "dim"))
        title = Text("boards by the stage that failed last", "bold", no_wrap=True)
        return [title, *shown]

    def _table(self, room: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
        zone = watchview.zone(datetime.now(UTC))
        table.add_column(f"heard, {zone}", no_wrap=True)
        table.add_column("device", no_wrap=True, overflow="ellipsis")
        table.add_column("last verdict", no_wrap=True, overflow="ellipsis")
        table.add_column("times", justify="right", no_wrap=True)
        table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
        for at, one in reversed(list(self._rows.values())[-room:]):
            style = "green" if one.verdict == READY else "red"
            why, _ = watchview.said(one)
            heard = f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
            cells = (heard, one.device_id, Text(one.verdict, style))
            table.add_row(*cells, f"{one.count:,}" if one.verdict != READY else "", Text(why))
        return table
