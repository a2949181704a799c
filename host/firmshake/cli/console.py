"""`firmshake console`: diagnostics of one board or several, live and explained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import click

from firmshake import saving
from firmshake.cli.printer import Printer
from firmshake.cli.terminal import terminal
from firmshake.climbgate import Only
from firmshake.console import Back, Lost, OpenPort, watch
from firmshake.errors import Error
from firmshake.event import STAGES, Event, Output
from firmshake.saving import Log


@click.command()
@click.argument("ports", nargs=-1, metavar="[PORT...]")
@click.option("--baud", type=click.IntRange(min=300), default=115200, show_default=True)
@click.option("--reset", is_flag=True, help="Reset the boards at the start.")
@click.option("--time", "times", is_flag=True, help="Put the time of day before each event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each event.")
@click.option(
    "--log",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append every byte that comes to FILE, for firmshake explain. Unless one PORT is named,"
    " FILE is a folder, in which each port has a file.",
)
@click.option(
    "--only",
    "patterns",
    multiple=True,
    metavar="VERDICT",
    help="Show only climbs that end with this verdict: ready, fail (any failure), a stage or step"
    " (tls), or a pattern (tls.*, tls.server_certificate/expired, '*/timeout'). May be given"
    " again. A climb is held back, up to 1000 lines, until its verdict is known; what the board"
    " says after it is shown with it, until the next climb begins.",
)
@click.option(
    "--search", default="", metavar="TEXT", help="Show only lines, and explanations, with TEXT."
)
@click.option(
    "--recorder",
    is_flag=True,
    help="Show the failures that the boards have on record, and let them start again.",
)
def command(
    ports: tuple[str, ...],
    baud: int,
    reset: bool,
    times: bool,
    as_json: bool,
    path: Path | None,
    patterns: tuple[str, ...],
    search: str,
    recorder: bool,
) -> None:
    """Show what the boards at the PORTs say, their events explained.

    PORT is a device, or rfc2217://HOST:PORT, or socket://HOST:PORT. Without one, these are all
    boards that are plugged in, as firmshake boards lists them, and those that are plugged in later.
    Where a board is unplugged, console waits until it is back. Ctrl-C ends it.

    Of several boards, each line has the board's device id before it, or the port's short name until
    the board has told its id; with --json, each object has "port" and "device". On a terminal, "?"
    shows the keys that search, pause and choose what is shown.
    """
    if recorder:
        from firmshake.cli import recorder as flight

        flight.show(ports, baud, as_json, (reset, times, path, patterns, search))
        return
    only = _only(patterns)
    if len(set(ports)) < len(ports):
        raise Error("a port is named twice", hint="name each port once", status=2)
    if len(ports) == 1 and not (patterns or search):
        _one(ports[0], baud, reset, times, as_json, path)
        return
    from firmshake.cli import several
    from firmshake.cli.consoleview import Look

    look = Look(as_json, times, named=len(ports) != 1)
    several.run(several.Wish(ports, baud, reset, path, only, search, look))


def _only(patterns: tuple[str, ...]) -> Only:
    """Raises Error where a pattern can fit no verdict."""
    only = Only(patterns)
    if strange := only.strange(STAGES):
        raise Error(
            f"no verdict is like {strange[0]!r}",
            hint=f"write ready, fail, or what begins with a stage: {', '.join(STAGES)}",
            status=2,
        )
    return only


def _one(port: str, baud: int, reset: bool, times: bool, as_json: bool, path: Path | None) -> None:
    """Show what one board says, as it comes."""

    def restart(opened: OpenPort) -> None:
        printer.note(f"firmshake: listening to {port} at {baud} baud; Ctrl-C ends it")
        if reset:
            saving.reset(opened)

    printer = Printer(terminal(), as_json, times)
    log = Log(path) if path else None
    with closing(log) if log else nullcontext():
        _show(watch(lambda: saving.open_saved(port, baud, log), restart), printer, port)


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
