"""Says which files a device was given, and what is left to do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.wording import printable

if TYPE_CHECKING:
    from cryptography import x509

    from firmshake.ca.handover import Handed
    from firmshake.registry import CertificateRecord


def show(handed: Handed, as_json: bool) -> None:
    """Print the files of one device: for people, or as an object for programs."""
    from firmshake.ca import certificate as certificates
    from firmshake.ca.handover import ANCHORS

    serial, ends = certificates.serial(handed.certificate), handed.certificate.not_valid_after_utc
    anchors = handed.path.with_name(ANCHORS)
    if as_json:
        fields = {
            "device": handed.device_id,
            "certificate": str(handed.path),
            "key": str(handed.key) if handed.key else None,
            "ca": str(anchors),
            "serial_number": serial,
            "not_after": ends.isoformat(),
        }
        click.echo(json.dumps(fields))
        return
    click.echo(
        f"{printable(str(handed.path))}: certificate of {handed.device_id}, with the intermediate's"
    )
    if handed.key:
        click.echo(f"  key          {printable(str(handed.key))}, in clear: keep it to the device")
    click.echo(f"  broker's CA  {printable(str(anchors))}")
    click.echo(f"  valid until  {ends:%Y-%m-%d %H:%M} UTC")
    click.echo(f"  serial       {serial}")


def others(found: Sequence[CertificateRecord], made: x509.Certificate, project: Path) -> None:
    """Say how to revoke what the device had before; `found` are its certificates in force."""
    from firmshake.ca import certificate as certificates

    own = certificates.serial(made)
    old = [one for one in found if one.serial_number != own]
    if not old:
        return
    where = "" if project == Path() else f" --project {shlex.quote(str(project))}"
    click.echo("next:", err=True)
    click.echo(
        "  once the device has it: what it had before is good until you revoke it:", err=True
    )
    for one in old:
        command = f"firmshake ca revoke {one.serial_number} --reason superseded{where}"
        click.echo(f"  {printable(command)}", err=True)
