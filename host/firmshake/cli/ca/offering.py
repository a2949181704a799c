"""Files that are offered for import: read, with the passphrases of those that are locked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import passphrase
from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.ca.finding import Finding
    from firmshake.offered import Offered

# no chain and no PKCS#12 comes near it; a file that large is something else
_LARGEST = 1024 * 1024

option = click.option(
    "--file-passphrase-fd",
    type=int,
    metavar="N",
    help="Read the passphrases of the offered files from file descriptor N, one a line.",
)


def read(paths: Sequence[str], fd: int | None) -> Offered:
    """Return what is in the files; raise Error where one can't be read or stays locked."""
    from firmshake import offered
    from firmshake.inspect.desk import Desk

    def ask(what: str) -> bytes | None:
        if fd is None and not sys.stdin.isatty():
            raise Error(
                f"{what} is locked, and there is no terminal to ask for its passphrase at",
                hint="give it on a file descriptor: --file-passphrase-fd 3 3< FILE",
                status=2,
            )
        return passphrase.ask(fd, what=f"passphrase of {what}")

    return offered.read(
        [(path, _content(Path(path))) for path in paths], Desk(datetime.now(UTC), ask)
    )


def show(findings: Sequence[Finding]) -> None:
    """Say what the checks found, as `firmshake inspect` does, on standard error."""
    for one in findings:
        click.echo(f"{one.severity:<8} {printable(one.what)}", err=True)
        if one.fix:
            click.echo(f"{'':<8} {printable(one.fix)}", err=True)


def _content(path: Path) -> bytes:
    from firmshake import regularfile

    content = regularfile.read(path, _LARGEST)
    if content is None:
        raise Error(f"{path} is too large to be a key or a certificate")
    return content
