"""`firmshake explain`: a captured log, or standard input, explained as it arrives."""

from __future__ import annotations

import errno
import json
import os
import select
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

import click

from firmshake.cli import target
from firmshake.cli.printer import Printer
from firmshake.cli.terminal import terminal
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.reader import Reader
from firmshake.verdict import Verdict, begins_climb, judge

_QUIET_S = 0.3
_SAVE = "\n  save a log with: firmshake console PORT --log FILE"


@click.command()
@click.argument("file", default="-")
@click.option(
    "--doctor",
    "broker",
    is_flag=False,
    flag_value="",
    metavar="HOST[:PORT]",
    help="Try the broker from here too, and set side by side what the board and this computer see. "
    "The options below are for this; in a project, the broker may be left out.",
)
@target.options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each event.")
def command(file: str, broker: str | None, as_json: bool, **given: Any) -> None:
    """Explain FILE, or standard input where FILE is "-" or left out.

    Events are explained, everything else passes through. The exit status is 1 where the last
    verdict in the log is a failure.
    """
    _not_the_log(broker or "", file)
    wanted = None if broker is None else target.find(broker or None, **given)
    printer = Printer(terminal(), as_json)
    climb: list[Event] = []
    if file == "-" and sys.stdin.isatty():
        click.echo("firmshake: reading standard input; Ctrl-D ends it", err=True)
    with open_log(file) as stream:
        for item in items(stream, file):
            printer.show(item)
            if isinstance(item, Event):
                if begins_climb(item, climb[-1] if climb else None):
                    climb.clear()
                climb.append(item)
    printer.end_line()
    if printer.events == 0:
        click.echo(f"firmshake: {file} holds no events of a firmshake agent{_SAVE}", err=True)
    if wanted is not None:
        _beside(judge(climb), wanted, as_json)
    if printer.failed:
        sys.exit(1)


def _not_the_log(broker: str, file: str) -> None:
    """Raise Error, of usage, where --doctor has taken the name that was meant as the log's."""
    if "://" in broker:  # a URL, of which the endpoint's own error says more
        return
    is_path = any(one in broker for one in (os.sep, os.altsep) if one)
    if is_path or (file == "-" and os.path.isfile(broker)):
        raise Error(
            f"--doctor takes a broker, not the log {broker}",
            hint=f"write: firmshake explain {broker} --doctor",
            status=2,
        )


def _beside(board: Verdict, wanted: target.Target, as_json: bool) -> None:
    """Print what the board and this computer see, and what follows."""
    from firmshake.serverview import record, report
    from firmshake.serverview.compare import compare

    computer = wanted.climb()
    view = wanted.look(computer)
    found = compare(board, computer, view)
    if as_json:
        doctor = {**computer.to_dict(), "server": record.of(view)}
        click.echo(json.dumps({"comparison": asdict(found), "doctor": doctor}))
    else:
        terminal().print(report.beside(found))


def open_log(file: str) -> BinaryIO:
    """The log, open for reading as its bytes arrive. Raises Error where it cannot be read."""
    try:
        if file == "-":
            return sys.stdin.buffer
        return open(file, "rb", buffering=0)
    except OSError as error:
        raise _unreadable(file, error) from error


def items(stream: BinaryIO, name: str) -> Iterator[Event | Output]:
    """What the log holds, given out as soon as it can be told."""
    reader = Reader()
    for data in chunks(stream, name):
        yield from reader.feed(data) if data else reader.quiet()
    yield from reader.close()


def chunks(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The log's bytes as they arrive; b"" where it was quiet for a while."""
    raw = getattr(stream, "raw", stream)
    while True:
        try:
            if not _ready(raw):
                yield b""
                continue
            data = raw.read(65536)
        except OSError as error:
            raise _unreadable(name, error) from error
        if not data:
            return
        yield data


def _ready(stream: BinaryIO) -> bool:
    try:
        return bool(select.select([stream], [], [], _QUIET_S)[0])
    except (ValueError, OSError):  # not a file descriptor that can be waited for
        return True


def _unreadable(file: str, error: OSError) -> Error:
    reason = (error.strerror or str(error)).lower()
    hints = {
        errno.ENOENT: "check the name; firmshake console PORT --log FILE saves a log",
        errno.EISDIR: "name one file, or pipe several: cat *.log | firmshake explain",
        errno.EACCES: "check the file's permissions",
    }
    return Error(f"cannot read {file}: {reason}", hint=hints.get(error.errno or 0, ""))
