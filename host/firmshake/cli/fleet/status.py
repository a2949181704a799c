"""`firmshake fleet status`: how far the fleet has come, at a glance."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import opening, parameters

if TYPE_CHECKING:  # slow to load
    from firmshake.registry import Registry
    from firmshake.registry.fleetrecord import RunRecord, Status


@click.command()
@click.argument("number", metavar="[RUN]", type=int, required=False)
@parameters.project_folder
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(number: int | None, folder: Path, as_json: bool) -> None:
    """Show how many devices are planned, issued, written, proved and failed, and why.

    RUN is the number of a run, as it is shown here; the last one by itself.
    """
    registry = opening.registry_of(folder)
    run = registry.run(number) if number is not None else registry.last_run(unfinished=False)
    status = registry.status(run.id if run is not None else None)
    stages = registry.failing_stages()
    if as_json:
        fields = {"run": _fields(run), **_fields(status), "failing_stages": stages}
        click.echo(json.dumps(fields))
        return
    from firmshake.cli.fleet import statusview

    statusview.show(run, status, stages)
    _tell_next(registry, run, status)


def _tell_next(registry: Registry, run: RunRecord | None, status: Status) -> None:
    """Say what to do where there is nothing yet, or nobody goes on with the run."""
    if run is None:
        click.echo("no run yet; begin one: firmshake fleet run MANIFEST, or --count N", err=True)
    elif run.ended_at is None and not status.stations and registry.last_run() == run:
        click.echo("the run is not finished; go on: firmshake fleet run --resume", err=True)


def _fields(value: RunRecord | Status | None) -> dict[str, object]:
    if value is None:
        return {}
    found: dict[str, object] = json.loads(json.dumps(asdict(value), default=_iso))
    return found


def _iso(value: object) -> str:
    """A moment, which is all that JSON does not know here, as ISO 8601."""
    assert isinstance(value, datetime)
    return value.isoformat()
