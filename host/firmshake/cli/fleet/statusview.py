"""What `firmshake fleet status` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from firmshake.cli.terminal import terminal
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.registry.fleetrecord import RunRecord, Status

_STYLES = {"proved": "green", "failed": "red", "written": "yellow", "issued": "yellow"}
_CHANGES = 8
# the columns of the longest bar
_BAR = 40
# what a device is in that has failed without a verdict: it was not done
_NO_VERDICT = "(it was not finished)"


def show(run: RunRecord | None, status: Status, stages: Mapping[str, int]) -> None:
    """Print the counts of all devices and of a run, what has failed, and what changed last."""
    console = terminal()
    _show(console, "devices", status.devices)
    if run is not None:
        wanted = "without an end" if run.wanted is None else f"{run.wanted:,} wanted"
        ended = "" if run.ended_at is None else f", ended {run.ended_at:%Y-%m-%d %H:%M} UTC"
        title = f"run {run.id}: {printable(run.name)}, {wanted}{ended}"
        _show(console, title, status.slots)
    if status.verdicts:
        verdicts = {name or _NO_VERDICT: count for name, count in status.verdicts.items()}
        _show(console, "failed, by verdict", verdicts)
    if status.stations:
        _show(console, "boards at work, by station", status.stations)
    if stages:
        title = "what boards said last: failures, by stage (firmshake fleet watch)"
        _show(console, title, stages, bars=True)
    for change in status.changes[:_CHANGES]:
        verdict = f"  {printable(change.verdict)}" if change.verdict else ""
        line = Text(f"{change.at:%Y-%m-%d %H:%M:%S}  {change.device_id}  ")
        line.append(change.state, _STYLES.get(change.state, ""))
        console.print(line.append(verdict))


def _show(console: Console, title: str, counts: Mapping[str, int], *, bars: bool = False) -> None:
    # above and not in the table, which would break it to its own width
    console.print(Text(title, "bold"))
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    if bars:
        table.add_column(ratio=1)
    most = max(counts.values(), default=0)
    for name, count in counts.items():
        bar = [ProgressBar(most, count, _BAR, complete_style="red")] if bars else []
        table.add_row(f"{count:,}", Text(printable(name), _STYLES.get(name, "")), *bar)
    console.print(table)
