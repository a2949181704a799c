"""`firmshake ca intermediate`: a new issuing CA below the same root."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import publishing, root
from firmshake.wording import printable


@click.command()
@click.option(
    "--keep-key",
    is_flag=True,
    help="A new certificate for the key that issues now, and no new key.",
)
@click.option(
    "--key",
    "uri",
    metavar="URI",
    help="Make the new key in the PKCS#11 token that this URI names, and not in a file.",
)
@parameters.project_folder
@root.options
@parameters.passphrase_fd
def command(
    keep_key: bool,
    uri: str | None,
    folder: Path,
    root_key: str | None,
    root_passphrase_fd: int | None,
    passphrase_fd: int | None,
) -> None:
    """Renew the issuing CA. Boards and brokers need no change.

    Boards carry their own intermediate's certificate beside their own, and everybody trusts the
    root: what the old CA issued stays good until it expires or is revoked. New certificates come
    from the new one. The old CA's key stays, to sign its revocation list.
    """
    from firmshake import intermediates

    intermediates.check_usage(keep_key, uri)
    fleet, places, registry = opening.alone(folder)
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    top = root.open_root(fleet, places, root_key, root_passphrase_fd)
    now = datetime.now(UTC)
    opened.check_others(now)
    if not keep_key:
        opened.secret_of_new(uri)
    made, lists = intermediates.renew(
        fleet,
        registry,
        top,
        opened.authority,
        opened.secret_of,
        now=now,
        keep_key=keep_key,
        uri=uri,
    )
    ends = made.certificate.not_valid_after_utc
    click.echo(f"{fleet.ca_folder / made.place.certificate}: the CA that issues from now on")
    click.echo(f"  name         {printable(made.subject)}")
    click.echo(f"  valid until  {ends:%Y-%m-%d %H:%M} UTC")
    publishing.show(fleet, lists)
    click.echo("  until then it refuses the boards of the new CA, whose list it has not", err=True)
