"""`firmshake registry upgrade`: brings an older registry to this version."""

from __future__ import annotations

from pathlib import Path

import click

from firmshake.cli import parameters


@click.command()
@parameters.project_folder
def command(folder: Path) -> None:
    """Bring the registry of an older firmshake to the version that this one needs.

    That is one transaction: it is done, or nothing has changed. There is no way back but a backup,
    and an older firmshake does not open the registry any more.
    """
    from firmshake import project
    from firmshake.registry import upgrading
    from firmshake.registry.schema import VERSION

    before = upgrading.upgrade(project.load(folder).registry_at)
    if before == VERSION:
        click.echo(f"the registry is of version {VERSION} already", err=True)
    else:
        click.echo(f"the registry was of version {before}, and is of version {VERSION} now")
