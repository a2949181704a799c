"""`firmshake ca broker`: a new certificate and key for the broker."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from firmshake.cli import parameters, passphrase
from firmshake.endpoint import is_host
from firmshake.errors import Error


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
    and those that you add. The boards need no change.
    """
    from firmshake import brokerrenewal, project

    fleet = project.load(folder)  # before anybody types a passphrase
    for name in names:
        if not is_host(name):
            raise Error(f"--name {name!r} is no DNS name and no IP address", status=2)
    secret = passphrase.ask(passphrase_fd)
    made = brokerrenewal.renew(fleet, secret, now=datetime.now(UTC), names=names)
    path = fleet.broker_folder / "broker.crt"
    ends = made.certificate.not_valid_after_utc
    click.echo(f"{path}: new certificate and key for the broker")
    click.echo(f"  names        {', '.join(brokerrenewal.present_names(path))}")
    click.echo(f"  valid until  {ends:%Y-%m-%d %H:%M} UTC")
    click.echo("next:", err=True)
    click.echo("  reload the broker: mosquitto takes it up on SIGHUP", err=True)
