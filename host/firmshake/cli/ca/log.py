"""`firmshake ca log`: the issuance log, for another computer to keep."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from firmshake.cli import opening, parameters
from firmshake.wording import printable


@click.command()
@click.option(
    "--after",
    type=click.IntRange(min=0),
    default=0,
    metavar="NUMBER",
    help="Only what stands behind this entry.",
)
@parameters.project_folder
def command(after: int, folder: Path) -> None:
    """Print the issuance log: a line an entry, its hash and what was done, as JSON.

    Each hash is the SHA-256 of the hash before it (64 zeros at first), a line feed and the JSON.
    Keep a copy, or only the last hash, where nobody of the CA can write: `firmshake ca audit
    --head` holds the log against it.

    On a terminal, characters that could steer it are written out, and such a line no longer has its
    hash: send the log to a file or a program to check it.
    """
    registry = opening.registry_of(folder)
    for one in registry.log(after):
        line = f"{one.sha256} {one.text}"
        click.echo(printable(line) if sys.stdout.isatty() else line)
