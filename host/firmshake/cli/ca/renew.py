"""`firmshake ca renew`: a new certificate for the key that a device has."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import handing
from firmshake.cli.parameters import DeviceId


@click.command()
@click.argument("device_id", type=DeviceId(), metavar="ID")
@parameters.out_folder
@parameters.json_files
@parameters.project_folder
@parameters.passphrase_fd
def command(
    device_id: str, out: Path, as_json: bool, folder: Path, passphrase_fd: int | None
) -> None:
    """Make a new certificate for the key that the device ID has already.

    FOLDER gets ID.crt, in place of a certificate of the same key that is there; ID.key need not be
    there. What the device had stays good until it expires or is revoked.
    """
    from firmshake.ca import handover

    opened = opening.open_ca(folder, passphrase_fd)
    made = handover.renew(out, device_id, opened.authority, opened.registry, now=datetime.now(UTC))
    handing.show(made, as_json)
    handing.others(opened.registry.in_force([device_id]), made.certificate, folder)
