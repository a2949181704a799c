"""`firmshake console --recorder`: what boards remember of their failures, explained."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from rich.console import Console, Group
from rich.text import Text

from firmshake.cli.terminal import terminal
from firmshake.errors import Error
from firmshake.ladderview import MARKS, Line, failure
from firmshake.recorder import Record, Recording
from firmshake.wording import printable


def show(ports: Sequence[str], baud: int, as_json: bool, others: Sequence[object] = ()) -> None:
    """Print the records of the boards at `ports`, the oldest first.

    `others` are options that have no meaning here. Raises Error where one of them is given, or the
    recorder of a board cannot be had, once those of the others are printed.
    """
    from firmshake import recorderdump

    if any(others):
        raise Error("--recorder goes with --baud and --json only", status=2)
    if not ports:
        raise Error("no port is named", hint="firmshake console --recorder PORT", status=2)
    console = terminal()
    failed: Error | None = None
    for port in ports:
        if not as_json:
            click.echo(f"firmshake: reading the recorder of the board on {port}", err=True)
        try:
            found = recorderdump.fetch(port, baud)
        except Error as error:
            if failed is not None:
                click.echo(f"firmshake: {failed}", err=True)
            failed = error
            continue
        if as_json:
            _print_json(port, found)
        else:
            if len(ports) > 1 and found.records:
                console.print(Line(Text(port, "bold")))
            _print(console, port, found)
    if failed is not None:
        raise failed


def _print_json(port: str, found: Recording) -> None:
    for record in found.records:
        click.echo(json.dumps({"port": port, **record.to_dict()}))


def _print(console: Console, port: str, found: Recording) -> None:
    if not found.records:
        click.echo(f"firmshake: the board on {port} has no failure on record", err=True)
    for record in found.records:
        console.print(Group(Line(_head(record)), failure(record.event)))


def _head(record: Record) -> Text:
    mark, style = MARKS["fail"]
    times = "once" if record.count == 1 else f"{record.count} times"
    when = f"{record.at:%Y-%m-%d %H:%M:%S} UTC" if record.at else _uptime(record)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{mark} {printable(record.verdict)}", style)
    return text.append(f"  {times}, {when}")


def _uptime(record: Record) -> str:
    """When it was, where the board did not know the time."""
    seconds = record.event.ms // 1000
    return f"{seconds} s after start {record.boot}"
