"""`firmshake ca sign`: a certificate for a request (CSR), whose key stays where it was made."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import handing
from firmshake.cli.parameters import DeviceId
from firmshake.endpoint import is_host
from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from cryptography import x509

    from firmshake.ca.request import Request

# no request comes near it; a file that large is something else
_LARGEST = 64 * 1024


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="CSR")
@click.option(
    "--device",
    "device_id",
    type=DeviceId(),
    metavar="ID",
    help="For this device. By itself: the one that the request's common name says.",
)
@click.option(
    "--broker",
    "names",
    multiple=True,
    metavar="NAME",
    help="For a broker of this DNS name or address. May be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The new file for the certificate. By itself: standard output.",
)
@parameters.project_folder
@parameters.passphrase_fd
def command(
    path: Path,
    device_id: str | None,
    names: tuple[str, ...],
    out: Path | None,
    folder: Path,
    passphrase_fd: int | None,
) -> None:
    """Sign the certificate signing request (PEM or DER) in the file CSR.

    The request says which key, and proves that its sender has it. What the certificate may do is
    said by the project's profiles; whatever else the request asks for is left out, and told.
    """
    from firmshake import exclusive
    from firmshake.ca import request, signing

    if device_id is not None and names:
        raise Error("--device and --broker exclude each other", hint="leave out one", status=2)
    for name in names:
        if not is_host(name):
            raise Error(f"--broker {name!r} is no DNS name and no IP address", status=2)
    asked = _read(path)
    who = device_id or (None if names else _named(asked))
    if out is not None and os.path.lexists(out):
        raise exclusive.in_the_way(out)
    opened = opening.open_ca(folder, passphrase_fd)
    authority, registry, now = opened.authority, opened.registry, datetime.now(UTC)
    if who is not None:
        made = signing.sign_device(asked, who, authority, registry, now=now)
    else:
        made = signing.sign_broker(asked, names, authority, registry, now=now)
    _hand_out(made, authority.certificate, out)
    for line in request.differences(asked, made):
        click.echo(f"not as asked for: {printable(line)}", err=True)
    if who is not None:
        handing.others(registry.in_force([who]), made, folder)


def _read(path: Path) -> Request:
    from firmshake import regularfile
    from firmshake.ca import request

    content = regularfile.read(path, _LARGEST)
    if content is None:
        raise Error(f"{path} is too large to be a certificate signing request")
    try:
        return request.read(content)
    except Error as error:
        raise Error(f"{path}: {error.message}", error.hint) from None


def _named(asked: Request) -> str:
    """The device that the request names."""
    from firmshake import deviceid

    hint = "say for whom: --device ID, or --broker NAME"
    if asked.common_name is None:
        raise Error("the request has no common name to be the device's id", hint)
    try:
        return deviceid.check(asked.common_name)
    except Error as error:
        raise Error(f"the common name of the request: {error.message}", hint) from None


def _hand_out(made: x509.Certificate, above: x509.Certificate, out: Path | None) -> None:
    from firmshake import newfile
    from firmshake.ca import certificate as certificates

    chain = certificates.pem(made) + certificates.pem(above)
    if out is None:
        click.echo(chain.decode("ascii"), nl=False)
    else:
        newfile.create_whole(out, chain, 0o644)
        name = printable(certificates.subject(made))
        click.echo(f"{printable(str(out))}: certificate of {name}, with the intermediate's")
    click.echo(f"  valid until  {made.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", err=out is None)
    click.echo(f"  serial       {certificates.serial(made)}", err=out is None)
