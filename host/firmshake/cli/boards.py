"""`firmshake boards`: the boards that are plugged in."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from firmshake.boards import discover, drives, plugged, ports
from firmshake.boards import row as rows
from firmshake.boards.row import Change, Row
from firmshake.cli import parameters
from firmshake.cli.terminal import terminal
from firmshake.wording import printable

# how often a look is taken: people wait for it with a cable in their hand
_LOOK_S = 0.5

# a MAC address with its colons
_ID_WIDTH = 17

_STATES = {
    "bootloader": "bootloader",
    "uf2": "UF2 drive",
    "micropython": "MicroPython REPL",
    "circuitpython": "CircuitPython",
    "program": "bootloader or a program",
    "adapter": "not known",
    "unknown": "not known",
}


@click.command()
@click.argument("wanted", nargs=-1, metavar="[PORT...]")
@parameters.project_folder
@click.option("--probe", is_flag=True, help="Ask the boards, which interrupts their programs.")
@click.option("--watch", is_flag=True, help="Go on, and show what changes, until Ctrl-C.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON list; with --watch, one object a change."
)
def command(wanted: tuple[str, ...], folder: Path, probe: bool, watch: bool, as_json: bool) -> None:
    """List the boards that are plugged in, by chip and unique id.

    A board is told by its USB numbers and by the files of its drive: nothing is interrupted, and no
    port is opened. What is behind a USB-serial chip cannot be told so: --probe asks it. A board
    that runs MicroPython or CircuitPython is stopped and started again for it; any other is reset
    into its bootloader and out of it.

    PORT may also be a port that is not listed by itself, such as rfc2217://HOST:PORT, or the folder
    of a drive; then only these are looked at. In a project, boards have their device ids.
    """
    if watch and probe:
        raise click.UsageError("--probe interrupts programs, --watch goes on: not both")
    devices = _devices(folder)
    if watch:
        _watch(wanted, devices, as_json)
        return
    found = rows.named(_look(wanted), devices)
    if probe:
        found = rows.named(rows.merged(_probed(found)), devices)
    if as_json:
        click.echo(json.dumps([row.to_dict() for row in found]))
    elif found:
        terminal().print(_table(found, bool(devices)))
        _remark(found, probe)
    else:
        click.echo("no board is plugged in", err=True)


def _look(wanted: Sequence[str]) -> list[Row]:
    if not wanted:
        return plugged.rows()
    folders = [name for name in wanted if Path(name).is_dir()]
    names = [name for name in wanted if name not in folders]
    seen = plugged.drives() if folders else []
    mounted = {drive.path: drive for drive in seen}
    found = [mounted.get(str(Path(name).resolve())) or drives.at(Path(name)) for name in folders]
    return discover.rows(ports.named(names), found)


def _devices(folder: Path) -> dict[str, str]:
    """The device ids of the project by unique id; none where this is no project."""
    from firmshake import project

    if not (folder / project.FLEET_FILE).exists():
        return {}
    fleet = project.load(folder)
    if fleet.registry_url is None and not fleet.registry_path.exists():
        return {}
    from firmshake.registry import open_for

    known = open_for(fleet).devices()
    return {device.unique_id: device.device_id for device in known if device.unique_id}


def _probed(found: Sequence[Row]) -> list[Row]:
    from firmshake.boards import ask

    console = Console(stderr=True)
    asked = []
    for row in found:
        if row.ports and not row.busy_by and console.is_terminal:
            with console.status(f"asking the board on {row.ports[0]}"):
                asked.append(ask.of(row))
        else:
            asked.append(ask.of(row))
    return asked


def _watch(wanted: Sequence[str], devices: dict[str, str], as_json: bool) -> None:
    console = terminal()
    before: list[Row] = []
    if as_json or not console.is_terminal:
        while True:
            found = rows.named(_look(wanted), devices)
            for change in rows.changes(before, found):
                click.echo(_json(change) if as_json else _line(change))
            before = found
            time.sleep(_LOOK_S)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = rows.named(_look(wanted), devices)
            live.update(_table(found, bool(devices)) if found else _nothing(), refresh=True)
            time.sleep(_LOOK_S)


def _nothing() -> Text:
    return Text("no board is plugged in; waiting for one (Ctrl-C ends)", "dim")


def _json(change: Change) -> str:
    return json.dumps({"event": change.event} | change.row.to_dict())


def _line(change: Change) -> str:
    row = change.row
    return "  ".join([change.event, row.unique_id or "?", _board(row), _state(row), *_where(row)])


def _table(found: Sequence[Row], with_devices: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    first = "unique id, device" if with_devices else "unique id"
    table.add_column(first, overflow="fold", min_width=_ID_WIDTH)
    table.add_column("chip or board", max_width=17)
    table.add_column("it runs", max_width=22)
    table.add_column("port or drive", overflow="fold")
    for row in found:
        name = "\n".join([row.unique_id or "?", *([row.device_id] if row.device_id else [])])
        cells = (name, _board(row), _state(row), "\n".join(_where(row)))
        table.add_row(*map(Text, cells))
    return table


def _board(row: Row) -> str:
    title = printable(row.title) or "?"
    return f"{title} ({row.adapter})" if row.adapter else title


def _state(row: Row) -> str:
    text = _STATES[row.state]
    if row.state == "uf2" and row.board_id:
        text = f"{row.board_id} drive"
    if row.version:
        text = text.replace("Python", f"Python {row.version}", 1)
    if row.state == "circuitpython":
        parts = [*(["REPL"] if row.ports else []), *(["drive"] if _has_drive(row) else [])]
        text += ": " + " and ".join(parts)
    extra = [f"busy: {row.busy_by}"] if row.busy_by else []
    return printable(", ".join([text, *extra, *([row.note] if row.note else [])]))


def _has_drive(row: Row) -> bool:
    return bool(row.drive or row.block_device)


def _where(row: Row) -> list[str]:
    places = (*row.ports, row.drive or row.block_device)
    return [printable(place) for place in places if place]


def _remark(found: Sequence[Row], probe: bool) -> None:
    if not probe and any(row.state in ("adapter", "unknown", "program") for row in found):
        click.echo("--probe asks the boards what they are; it interrupts their programs", err=True)
