"""`firmshake fleet status`: how far the fleet has come, at a glance."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import parameters

if TYPE_CHECKING:  # slow to load
    from firmshake.registry.fleetrecord import RunRecord, Status


@click.command()
@click.argument("number", metavar="[RUN]", type=int, required=False)
@parameters.project_folder
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(number: int | None, folder: Path, as_json: bool) -> None:
    """Show how many devices are planned, issued, written, proved and failed, and why.

    RUN is the number of a run, as it is shown here; the last one by itself.
    """
    from firmshake import project
    from firmshake.registry import open_for

    registry = open_for(project.load(folder))
    run = registry.run(number) if number is not None else registry.last_run(unfinished=False)
    status = registry.status(run.id if run is not None else None)
    stages = registry.failing_stages()
    if as_json:
        fields = {"run": _fields(run), **_fields(status), "failing_stages": stages}
        click.echo(json.dumps(fields))
        return
    from firmshake.cli.fleet import statusview

    statusview.show(run, status, stages)


def _fields(value: RunRecord | Status | None) -> dict[str, object]:
    if value is None:
        return {}
    found: dict[str, object] = json.loads(json.dumps(asdict(value), default=str))
    return found
