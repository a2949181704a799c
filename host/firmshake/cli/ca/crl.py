"""`firmshake ca crl`: new revocation lists."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import publishing, root


@click.command()
@parameters.project_folder
@click.option("--root", "with_root", is_flag=True, help="The root's list, too: it needs its key.")
@root.options
@parameters.passphrase_fd
def command(
    folder: Path,
    with_root: bool,
    root_key: str | None,
    root_passphrase_fd: int | None,
    passphrase_fd: int | None,
) -> None:
    """Sign the revocation lists anew, until the next ones are due, and gather them for brokers.

    A broker that reads a list lets nobody in once its time is over: `firmshake ca expiring` says
    when that is. `firmshake ca revoke` and `firmshake ca broker` do the same by the way.
    """
    from firmshake import revocation

    fleet, places, registry = opening.alone(folder)
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    top = root.open_root(fleet, places, root_key, root_passphrase_fd) if with_root else None
    now = datetime.now(UTC)
    opened.check_others(now)
    with publishing.progress() as told:
        lists = revocation.publish(
            fleet, registry, opened.secret_of, now=now, root=top, progress=told
        )
    publishing.show(fleet, lists)
