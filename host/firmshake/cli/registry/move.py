"""`firmshake registry move`: from the project's file into PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console

from firmshake.cli import opening, parameters
from firmshake.errors import Error

# what the file is called then: a copy, which no command opens
_MOVED = ".moved"


@click.command()
@click.argument("url", metavar="URL")
@parameters.project_folder
def command(url: str, folder: Path) -> None:
    """Move the project's registry into the empty PostgreSQL database at URL.

    All is copied in one transaction and checked; then fleet.toml gets the URL, and the file is
    renamed to registry.sqlite.moved. The URL has no password in it: libpq finds that in ~/.pgpass.

    Example: firmshake registry move 'postgresql://firmshake@db/fleet?sslmode=verify-full'
    """
    from firmshake import newfile, registrysetting
    from firmshake.project import FLEET_FILE
    from firmshake.registry import moving

    fleet, _, _ = opening.alone(folder)
    if fleet.registry_url is not None:
        raise Error(
            f"the registry is in PostgreSQL already: {fleet.registry_url}",
            hint="pg_dump and pg_restore take it to another server",
        )
    path = fleet.root / FLEET_FILE
    settings = registrysetting.written(path.read_text("utf-8"), url)
    moved = fleet.registry_path.with_name(fleet.registry_path.name + _MOVED)
    if moved.exists():
        raise Error(f"{moved} is there already", hint="move it away; nothing was changed")

    def switch() -> None:
        newfile.replace(path, settings.encode(), path.stat().st_mode & 0o777)
        fleet.registry_path.rename(moved)

    with _progress() as progress:
        counts = moving.move(fleet.registry_path, url, switch, progress)
    click.echo(f"{sum(counts.values()):,} rows were moved, and fleet.toml has the URL")
    click.echo(
        f"the file is {moved} now: keep it until you have a backup of the database", err=True
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """Tell at a terminal what is being copied."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda table, done: None
        return
    with console.status("moving the registry") as status:
        yield lambda table, done: status.update(f"moving the registry: {table}, {done:,} rows")
