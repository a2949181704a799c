"""`firmshake ca list`: the certificates that were issued."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import listing


@click.command()
@click.option("--device", metavar="ID", help="Those of this device only.")
@click.option(
    "--kind",
    type=click.Choice(["root", "intermediate", "broker", "device", "other"]),
    help="Those of this kind only.",
)
@click.option("--revoked", is_flag=True, help="Those that were revoked only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@parameters.project_folder
def command(
    device: str | None, kind: str | None, revoked: bool, as_json: bool, folder: Path
) -> None:
    """List the certificates that were issued, in the order in which they were."""
    registry = opening.registry_of(folder)
    now = datetime.now(UTC)
    for one in registry.certificates(kind=kind, device_id=device):
        if revoked and one.revoked_at is None:
            continue
        click.echo(listing.as_json(one) if as_json else listing.lines(one, now))
