"""`firmshake console`: a board's diagnostics, live and explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from firmshake.cli.printer import Printer, terminal
from firmshake.console import Back, Lost, OpenPort, watch

if TYPE_CHECKING:
    from serial import SerialBase


@click.command()
@click.argument("port")
@click.option("--baud", type=click.IntRange(min=300), default=115200, show_default=True)
@click.option("--reset", is_flag=True, help="Reset the board at the start.")
@click.option("--time", "times", is_flag=True, help="Put the time of day before each event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each event.")
def command(port: str, baud: int, reset: bool, times: bool, as_json: bool) -> None:
    """Show what the board at PORT says, its events explained.

    PORT is a device, or rfc2217://HOST:PORT, or socket://HOST:PORT. Where the board is unplugged,
    console waits until it is back. Ctrl-C ends it.
    """
    from firmshake import serialport

    def connect() -> OpenPort:
        return cast(OpenPort, serialport.open_port(port, baud))

    def restart(opened: OpenPort) -> None:
        if reset:
            serialport.reset(cast("SerialBase", opened))

    printer = Printer(terminal(), as_json, times)
    try:
        for item in watch(connect, restart):
            if isinstance(item, Lost):
                printer.note(f"firmshake: {item.reason}; waiting for it to come back")
            elif isinstance(item, Back):
                printer.note(f"firmshake: {port} is back")
            else:
                printer.show(item)
    except KeyboardInterrupt:
        printer.end_line()
