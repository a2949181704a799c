"""`firmshake firmware add`: keep firmware files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from firmshake.firmwares import record
from firmshake.firmwares.store import Store, default_folder


@click.command("add")
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="What is kept, as one JSON list.")
def command(paths: tuple[Path, ...], as_json: bool) -> None:
    """Keep firmware files, so that boards can be provisioned with them.

    A FILE is a .bin or .uf2 of MicroPython or CircuitPython, whole, as it comes from the project's
    download page. Chip, runtime and version are read from it; its name does not matter.
    """
    store = Store(default_folder())
    made = []
    for path in paths:
        file, new = store.add_file(path)
        made.append(record.of(file, store.path(file)) | {"new": new})
        if not as_json:
            click.echo(
                f"{'kept' if new else 'was kept already'}: {file.title} for"
                f" {file.machine or file.chip}\n  SHA-256 {file.sha256}"
            )
    if as_json:
        click.echo(json.dumps(made))
