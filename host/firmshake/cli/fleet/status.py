"""`firmshake fleet status`: how far the fleet has come, at a glance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from firmshake.cli import opening, parameters
from firmshake.cli.printer import terminal
from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.registry.fleetrecord import RunRecord, Status

_STYLES = {"proved": "green", "failed": "red", "written": "yellow", "issued": "yellow"}
_CHANGES = 8
# the columns of the longest bar
_BAR = 40
# what a device is in that has failed without a verdict: it was not done
_NO_VERDICT = "(it was not finished)"


@click.command()
@click.argument("number", metavar="[RUN]", type=int, required=False)
@parameters.project_folder
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(number: int | None, folder: Path, as_json: bool) -> None:
    """Show how many devices are planned, issued, written, proved and failed, and why.

    RUN is the number of a run, as it is shown here; the last one by itself.
    """
    _, _, registry = opening.load(folder)
    run = registry.run(number) if number is not None else registry.last_run(unfinished=False)
    if number is not None and run is None:
        raise Error(f"there is no run {number}", hint="firmshake fleet status shows the last one")
    status = registry.status(run.id if run is not None else None)
    stages = registry.failing_stages()
    if as_json:
        fields = {"run": _fields(run), **_fields(status), "failing_stages": stages}
        click.echo(json.dumps(fields))
        return
    _print(terminal(), run, status, stages)


def _fields(value: RunRecord | Status | None) -> dict[str, object]:
    if value is None:
        return {}
    found: dict[str, object] = json.loads(json.dumps(asdict(value), default=str))
    return found


def _print(
    console: Console, run: RunRecord | None, status: Status, stages: Mapping[str, int]
) -> None:
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
