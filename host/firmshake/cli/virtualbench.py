"""Many virtual boards in one command: `firmshake virtual --boards N`."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from firmshake.cli import waiting
from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.boards.bench import Sight
    from firmshake.project import Project
    from firmshake.virtual.shelf import Make

_LOOK_S = 2.0


def project_of(folder: Path | None) -> Project | None:
    """Return the project in `folder`; where none is named, that of this folder, if it is one.

    Raises Error where what is named is none, or its settings are wrong.
    """
    # what a virtual board does not need is slow to load
    if folder is None and not Path("fleet.toml").exists():
        return None
    from firmshake import project

    return project.load(folder or Path())


def run(
    makers: Sequence[Make], project: Project | None, drives: Path | None, as_json: bool
) -> NoReturn:
    """Run the boards, announced to other commands, until a signal ends it.

    `drives` is the folder below which theirs are, if they have some.
    """
    from firmshake.boards import bench as announcing
    from firmshake.virtual.bench import Bench

    with (
        contextlib.closing(announcing.Announcement()) as announcement,
        _broker(project),
        _gone_again(drives),
        Bench(makers) as bench,
        contextlib.closing(announcement),
    ):
        announcement.tell(bench.sights)
        _show(bench.sights, as_json)

        def take(file: int) -> None:
            if bench.take(file):
                announcement.tell(bench.sights)

        waiting.for_a_signal(bench.files, take)


def _show(sights: Sequence[Sight], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"boards": [_row(sight) for sight in sights]}))
        return
    heads = ("no.", "board", "unique id", "port", "drive")
    rows = [
        (str(sight.number), sight.board, sight.unique_id, sight.url or "", sight.drive or "")
        for sight in sights
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    for line in (
        "other commands find them: firmshake boards",
        f"provision them, in another terminal: firmshake fleet run --count {len(sights)}",
        "they run until Ctrl-C",
    ):
        click.echo(line, err=True)


def _row(sight: Sight) -> dict[str, object]:
    return {
        "number": sight.number,
        "board": sight.board,
        "runtime": sight.runtime,
        "port": sight.url,
        "socket": None,
        "drive": sight.drive,
        "unique_id": sight.unique_id.replace(":", ""),
    }


@contextlib.contextmanager
def _gone_again(folder: Path | None) -> Iterator[None]:
    """Remove a folder that was not there before, unless somebody put something into it."""
    is_new = folder is not None and not folder.exists()
    try:
        yield
    finally:
        if folder is not None and is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def _broker(project: Project | None) -> Iterator[None]:
    """The project's mosquitto, where it is to be on this computer and is not there."""
    from firmshake.endpoint import is_loopback
    from firmshake.localbroker import LOG, LocalBroker

    if project is None or not is_loopback(project.broker.host) or _listens(project):
        yield
        return
    host, port, folder = project.broker.host, project.broker.port, project.broker_folder
    broker = LocalBroker(folder, host, port)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(broker)
        except (Error, OSError) as error:
            _say_without_broker(error)
        else:
            click.echo(
                f"started the project's mosquitto on {host}:{port}; its log is {folder / LOG}",
                err=True,
            )
        yield


def _listens(project: Project) -> bool:
    with contextlib.suppress(OSError):
        address = (project.broker.host, project.broker.port)
        with socket.create_connection(address, _LOOK_S):
            return True
    return False


def _say_without_broker(error: Error | OSError) -> None:
    message = error.message if isinstance(error, Error) else str(error)
    hint = f"; {error.hint}" if isinstance(error, Error) and error.hint else ""
    click.echo(f"the project's broker is not started: {printable(message + hint)}", err=True)
