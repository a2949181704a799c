"""`firmshake firmware list`: the firmware that is kept."""

from __future__ import annotations

import json

import click
from rich import box
from rich.table import Table
from rich.text import Text

from firmshake.boards.table import TITLES
from firmshake.cli.terminal import terminal
from firmshake.firmwares import record
from firmshake.firmwares.identify import File
from firmshake.firmwares.store import Store, default_folder

_SHOWN = 12  # digits of a SHA-256 that tell files apart; --json has all


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON list.")
def command(as_json: bool) -> None:
    """List the firmware that is kept, by chip and board, the newest version first."""
    store = Store(default_folder())
    found = store.files(note=lambda text: click.echo(f"left out: {text}", err=True))
    if as_json:
        click.echo(json.dumps([record.of(file, store.path(file)) for file in found]))
    elif found:
        terminal().print(_table(found))
    else:
        click.echo(
            "no firmware is kept: get some by `firmshake firmware fetch BOARD`, or"
            " `firmshake firmware add FILE`",
            err=True,
        )


def _table(found: list[File]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("chip", no_wrap=True)
    table.add_column("runtime", no_wrap=True)
    table.add_column("version")
    table.add_column("board")
    table.add_column("SHA-256", no_wrap=True)
    for file in found:
        name = file.machine.rpartition(" with ")[0] or file.machine
        cells = (file.chip, TITLES[file.runtime], file.version, name, file.sha256[:_SHOWN])
        table.add_row(*map(Text, cells))
    return table
