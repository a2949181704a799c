"""`firmshake explain`: a captured log, or standard input, explained as it arrives."""

from __future__ import annotations

import errno
import select
import sys
from collections.abc import Iterator
from typing import BinaryIO

import click

from firmshake.cli.printer import Printer, terminal
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.reader import Reader

_QUIET_S = 0.3


@click.command()
@click.argument("file", default="-")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each event.")
def command(file: str, as_json: bool) -> None:
    """Explain FILE, or standard input where FILE is "-" or left out.

    Events are explained, everything else passes through. The exit status is 1 where the last
    verdict in the log is a failure.
    """
    printer = Printer(terminal(), as_json)
    with open_log(file) as stream:
        for item in items(stream, file):
            printer.show(item)
    printer.end_line()
    if printer.events == 0:
        click.echo(f"firmshake: {file} holds no events of a firmshake agent", err=True)
    if printer.failed:
        sys.exit(1)


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
        errno.ENOENT: "check the name; a log is what firmshake console or a terminal has saved",
        errno.EISDIR: "name one file, or pipe several: cat *.log | firmshake explain",
        errno.EACCES: "check the file's permissions",
    }
    return Error(f"cannot read {file}: {reason}", hint=hints.get(error.errno or 0, ""))
