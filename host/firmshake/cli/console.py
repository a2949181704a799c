"""`firmshake console`: a board's diagnostics, live and explained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from firmshake.cli.printer import Printer, terminal
from firmshake.console import Back, Lost, OpenPort, watch
from firmshake.event import Event, Output
from firmshake.saving import Log, SavedPort

if TYPE_CHECKING:
    from serial import SerialBase


@click.command()
@click.argument("port")
@click.option("--baud", type=click.IntRange(min=300), default=115200, show_default=True)
@click.option("--reset", is_flag=True, help="Reset the board at the start.")
@click.option("--time", "times", is_flag=True, help="Put the time of day before each event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each event.")
@click.option(
    "--log",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append every byte that comes to FILE, for firmshake explain.",
)
def command(
    port: str, baud: int, reset: bool, times: bool, as_json: bool, path: Path | None
) -> None:
    """Show what the board at PORT says, its events explained.

    PORT is a device, or rfc2217://HOST:PORT, or socket://HOST:PORT. Where the board is unplugged,
    console waits until it is back. Ctrl-C ends it.
    """
    from firmshake import serialport

    def connect() -> OpenPort:
        opened = cast(OpenPort, serialport.open_port(port, baud))
        return SavedPort(opened, log) if log else opened

    def restart(opened: OpenPort) -> None:
        printer.note(f"firmshake: listening to {port} at {baud} baud; Ctrl-C ends it")
        if reset:
            bare = opened.inner if isinstance(opened, SavedPort) else opened
            serialport.reset(cast("SerialBase", bare))

    printer = Printer(terminal(), as_json, times)
    log = Log(path) if path else None
    with closing(log) if log else nullcontext():
        _show(watch(connect, restart), printer, port)


def _show(found: Iterator[Event | Output | Lost | Back], printer: Printer, port: str) -> None:
    """Print all that is found, until Ctrl-C."""
    try:
        for item in found:
            if isinstance(item, Lost):
                printer.note(f"firmshake: {item.reason}; waiting for it to come back")
            elif isinstance(item, Back):
                printer.note(f"firmshake: {port} is back")
            else:
                printer.show(item)
    except KeyboardInterrupt:
        printer.end_line()
