"""`firmshake ca import`: what was made elsewhere, taken into the project after it was checked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import offering, publishing
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.offered import Offered
    from firmshake.project import Project
    from firmshake.registry import Registry


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE...")
@offering.option
@parameters.project_folder
@parameters.passphrase_fd
def command(
    paths: tuple[str, ...],
    file_passphrase_fd: int | None,
    folder: Path,
    passphrase_fd: int | None,
) -> None:
    """Take what was made elsewhere into the project: PEM, DER or PKCS#12, in any mixture.

    An intermediate CA below the project's root, with its key, becomes the one that issues.
    Certificates of devices and brokers are put into the registry and its log: `ca expiring` then
    tells of them, and `ca revoke` puts those of this project's CAs on the list.

    Everything is checked first, as `firmshake inspect` does; what is wrong is refused. For a CA
    with a root of its own: firmshake init --ca FILE.
    """
    fleet, places, registry = opening.alone(folder)
    offered = offering.read(paths, file_passphrase_fd)
    if not offered.keys:
        _certificates(fleet, registry, offered)
        return
    from firmshake import importing, intermediates, revocation
    from firmshake.project import root_certificate

    now = datetime.now(UTC)
    found = importing.candidate(offered, now, known=(root_certificate(fleet),))
    offering.show(found.findings)
    made = importing.intermediate(fleet, found)
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    secret = opened.secret_of(places.first_file)
    taken = intermediates.take(fleet, registry, made, secret, now=now, event="imported")
    path = fleet.ca_folder / taken.place.certificate
    click.echo(f"{printable(str(path))}: the CA that issues from now on")
    click.echo(f"  name         {printable(taken.subject)}")
    lists = revocation.publish(fleet, registry, opened.secret_of, now=now)
    publishing.show(fleet, lists)


def _certificates(fleet: Project, registry: Registry, offered: Offered) -> None:
    from firmshake import importing
    from firmshake.ca import store

    places = store.read(fleet.ca_folder)
    every = (places.root, *places.intermediates)
    known = [store.certificate(fleet.ca_folder, place) for place in every]
    found = importing.foreign(
        offered, datetime.now(UTC), known, lambda name: registry.device(name) is not None
    )
    for one in found:
        offering.show(one.findings)
    importing.refuse([finding for one in found for finding in one.findings])
    registry.record(*[one.issued for one in found])
    for one in found:
        issued = one.issued
        name = issued.device_id or one.subject
        click.echo(f"imported {one.serial} of {printable(name)} ({issued.kind})")
