"""`firmshake ca broker`: a new certificate and key for the broker."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import publishing
from firmshake.endpoint import is_host
from firmshake.errors import Error
from firmshake.wording import printable


@click.command()
@parameters.project_folder
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A further name or address for the broker's certificate. May be repeated.",
)
@parameters.passphrase_fd
def command(folder: Path, names: tuple[str, ...], passphrase_fd: int | None) -> None:
    """Give the broker a new certificate and key, in place of those in broker/.

    The new certificate has the names of the present one, those that fleet.toml has for the broker,
    and those that you add. The boards need no change. The revocation list is signed again too, so
    that both have to be renewed on the same day.
    """
    from firmshake import brokerrenewal, revocation
    from firmshake.project import BROKER_FILE

    fleet, places, registry = opening.alone(folder)  # before anybody types a passphrase
    for name in names:
        if not is_host(name):
            raise Error(f"--name {name!r} is no DNS name and no IP address", status=2)
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    now = datetime.now(UTC)
    opened.check_others(now)
    made = brokerrenewal.renew(fleet, opened.authority, registry, now=now, names=names)
    lists = revocation.publish(fleet, registry, opened.secret_of, now=now)
    path = fleet.broker_folder / BROKER_FILE
    ends = made.certificate.not_valid_after_utc
    click.echo(f"{path}: new certificate and key for the broker")
    click.echo(
        f"  names        {printable(', '.join(brokerrenewal.present_names(path, registry)))}"
    )
    click.echo(f"  valid until  {ends:%Y-%m-%d %H:%M} UTC")
    publishing.show(fleet, lists)
