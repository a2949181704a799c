"""`firmshake ca remember`: the CA's passphrase, or its token's PIN, in the system's keyring."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from firmshake.cli import opening, parameters, passphrase
from firmshake.wording import printable


@click.command()
@parameters.project_folder
@parameters.passphrase_fd
def command(folder: Path, passphrase_fd: int | None) -> None:
    """Keep the CA's passphrase, or its token's PIN, in the system's keyring.

    Commands take it from there afterwards, and ask for nothing; --passphrase-fd still goes first.
    While the keyring is open, every program of yours can have it from there: that is the price.

    What opens the root's key is never kept: the root is for rare moments, and its key belongs
    offline.
    """
    from firmshake import project, remembered
    from firmshake.ca import store

    fleet, places, registry = opening.alone(folder)
    project.check_authority(fleet, registry)
    name = remembered.check()  # before anybody types a passphrase
    root = store.certificate(fleet.ca_folder, places.root)
    secrets = {}
    for place in opening.openers(places):
        what = opening.secret_name(place, further=place is not places.issuing)
        secret = passphrase.ask(passphrase_fd, what=what)
        store.open_issuer(fleet.ca_folder, place, secret)  # raises where it opens nothing
        secrets[remembered.entry(root, place)] = secret
    for entry, secret in secrets.items():
        remembered.remember(entry, secret)
    store.write(fleet.ca_folder, replace(store.read(fleet.ca_folder), keyring=True))
    for entry in secrets:
        click.echo(f"{name}: keeps {entry!r} for {remembered.SERVICE}")
    path = printable(str(fleet.ca_folder / store.FILE))
    click.echo(f"{path}: commands look into the keyring from now on")
