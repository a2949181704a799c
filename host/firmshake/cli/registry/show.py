"""`firmshake registry show`: where the registry is, and what it holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from firmshake.cli import parameters
from firmshake.wording import printable


@click.command()
@parameters.project_folder
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(folder: Path, as_json: bool) -> None:
    """Show where the registry is, which version its tables have, and how many rows each has."""
    from firmshake import project
    from firmshake.registry import place
    from firmshake.registry.schema import VERSION

    where = place.found(project.load(folder).registry_at)
    version, counts = place.counts(where)
    if as_json:
        said = {"where": where.where, "version": version, "needs": VERSION, "rows": counts}
        click.echo(json.dumps(said))
        return
    click.echo(printable(where.where))
    click.echo(f"  version {version}")
    if version != VERSION:
        click.echo(f"this firmshake needs version {VERSION}", err=True)
    for name, count in counts.items():
        click.echo(f"  {name:<14} {count:>12,}")
