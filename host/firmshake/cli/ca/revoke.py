"""`firmshake ca revoke`: a certificate that must open nothing any more."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import publishing, root
from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.registry import CertificateRecord

# RFC 5280 section 5.3.1, without certificateHold: what is revoked here stays so
REASONS = (
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="DEVICE|SERIAL...")
@click.option(
    "--reason",
    type=click.Choice(REASONS),
    required=True,
    metavar="REASON",
    help="Why: keyCompromise (somebody else may have the key), cessationOfOperation (retired),"
    " superseded, affiliationChanged, privilegeWithdrawn, cACompromise or unspecified.",
)
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
@parameters.project_folder
@root.options
@parameters.passphrase_fd
def command(
    names: tuple[str, ...],
    reason: str,
    yes: bool,
    folder: Path,
    root_key: str | None,
    root_passphrase_fd: int | None,
    passphrase_fd: int | None,
) -> None:
    """Revoke certificates, for good, and sign the revocation lists that tell brokers of it.

    DEVICE stands for all certificates in force of that device. For an intermediate CA's serial
    number the root's key is needed, since the root's list tells of it.
    """
    from firmshake import revocation

    fleet, places, registry = opening.alone(folder)
    now = datetime.now(UTC)
    found = {
        one.serial_number: one for name in names for one in revocation.meant(registry, name, now)
    }
    kinds = {one.kind for one in found.values()}
    if "root" in kinds:
        raise Error(
            "a root can't be revoked: no list that anybody reads tells of it",
            hint="make a new CA with firmshake init, and provision every board from it",
        )
    revocation.check_ours(fleet, list(found.values()))
    if not yes:
        _confirm(list(found.values()), reason)
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    above = "intermediate" in kinds
    top = root.open_root(fleet, places, root_key, root_passphrase_fd) if above else None
    opened.check_others(now)
    registry.revoke(list(found), reason)
    for one in found.values():
        click.echo(f"{one.kind} {printable(one.subject)}: revoked, {reason}")
        click.echo(f"  serial       {one.serial_number}")
    with publishing.progress() as told:
        lists = revocation.publish(
            fleet, registry, opened.secret_of, now=now, root=top, progress=told
        )
    publishing.show(fleet, lists)
    if above:
        click.echo("  then provision the boards of the revoked CA again: none gets in", err=True)


def _confirm(found: Sequence[CertificateRecord], reason: str) -> None:
    if not sys.stdin.isatty():
        raise Error("no terminal to ask whether that is meant", hint="say so with --yes", status=2)
    for one in found:
        click.echo(f"{one.kind} {printable(one.subject)}: {one.serial_number}", err=True)
        if one.kind == "intermediate":
            click.echo("  everything that it has issued is refused from then on", err=True)
    click.confirm(f"revoke for good, as {reason}?", abort=True, err=True)
