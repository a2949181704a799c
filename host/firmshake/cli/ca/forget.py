"""`firmshake ca forget`: the CA's passphrase out of the system's keyring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from firmshake.cli import opening, parameters
from firmshake.wording import printable


@click.command()
@parameters.project_folder
def command(folder: Path) -> None:
    """Take the CA's passphrase, or its token's PIN, out of the system's keyring.

    Commands ask for it again afterwards.
    """
    from firmshake import project, remembered
    from firmshake.ca import store

    fleet = project.load(folder)
    places = store.read(fleet.ca_folder)
    root = store.certificate(fleet.ca_folder, places.root)
    # first: without a keyring, too, commands must be told to ask again
    store.write(fleet.ca_folder, replace(places, keyring=False))
    click.echo(f"{printable(str(fleet.ca_folder / store.FILE))}: commands ask from now on")
    for place in opening.openers(places):
        entry = remembered.entry(root, place)
        remembered.forget(entry)
        click.echo(f"the system's keyring: {entry!r} of {remembered.SERVICE} is not in it any more")
