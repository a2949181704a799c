"""`firmshake firmware fetch`: firmware from the download site of its project."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from firmshake.boards import table
from firmshake.boards.table import MICROPYTHON, RUNTIMES, Board, Runtime
from firmshake.cli import parameters
from firmshake.firmwares import record, sites
from firmshake.firmwares.identify import File
from firmshake.firmwares.pins import Pin
from firmshake.firmwares.sites import Site
from firmshake.firmwares.store import Store, default_folder

if TYPE_CHECKING:
    from firmshake.project import Project


@click.command("fetch", epilog=f"Boards: {', '.join(board.name for board in table.BOARDS)}.")
@click.argument("board_name", metavar="BOARD")
@click.argument("version", required=False)
@parameters.project_folder
@click.option(
    "--runtime", type=click.Choice(RUNTIMES), default=MICROPYTHON, show_default=True, help="Which."
)
@click.option("--newest", is_flag=True, help="Go on from the pinned version to the newest release.")
@click.option("--downgrade", is_flag=True, help="Allow a version older than the pinned one.")
@click.option(
    "--site", metavar="URL", help="A mirror of the project's download site, laid out as that is."
)
@click.option("--json", "as_json", is_flag=True, help="What is kept, as one JSON object.")
def command(
    board_name: str,
    version: str | None,
    folder: Path,
    runtime: Runtime,
    newest: bool,
    downgrade: bool,
    site: str | None,
    as_json: bool,
) -> None:
    """Get firmware for BOARD from the download site of its project, and keep it.

    In a project, the file's SHA-256 is pinned in fleet.toml; from then on this gets that very file.
    Another VERSION, or --newest, moves the pin, but back only with --downgrade. Without a pin and a
    VERSION it is the newest release.
    """
    if newest and version:
        raise click.UsageError("VERSION and --newest: not both")
    from firmshake.firmwares import fetch

    board = table.by_name(board_name)
    project = _project(folder)
    pin = project.firmware.get((runtime, board.name)) if project else None
    store = Store(default_folder())
    with _progress() as on_progress:
        fetched = fetch.fetch(
            store,
            board,
            runtime,
            Site(site, site) if site else sites.SITES[runtime],
            version=version,
            pin=pin,
            newest=newest,
            downgrade=downgrade,
            on_progress=on_progress,
        )
    file = fetched.file
    new_pin = Pin(file.version, file.sha256)
    pinned = False
    if project is not None:
        pinned = _pinned(project, board, runtime, new_pin, pin)
    if as_json:
        click.echo(json.dumps(record.of(file, store.path(file)) | {"url": fetched.url}))
        return
    _tell(file, fetched.url, pinned)


def _tell(file: File, url: str, pinned: bool) -> None:
    what = f"{file.title} for {file.machine or file.chip}"
    click.echo(f"{'kept' if url else 'was kept already'}: {what}\n  SHA-256 {file.sha256}")
    if url:
        click.echo(f"from {url}", err=True)
    if pinned:
        click.echo("pinned in fleet.toml", err=True)


def _project(folder: Path) -> Project | None:
    from firmshake import project

    return project.load(folder) if (folder / project.FLEET_FILE).exists() else None


def _pinned(project: Project, board: Board, runtime: Runtime, pin: Pin, old: Pin | None) -> bool:
    """Write the pin into fleet.toml, whose rights stay; whether that was needed."""
    if pin == old:
        return False
    from firmshake import newfile
    from firmshake.firmwares import pins
    from firmshake.project import FLEET_FILE

    path = project.root / FLEET_FILE
    text = pins.written(path.read_text("utf-8"), board, runtime, pin)
    newfile.replace(path, text.encode(), path.stat().st_mode & 0o777)
    return True


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar at a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (
        TextColumn("  getting it"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("get", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
