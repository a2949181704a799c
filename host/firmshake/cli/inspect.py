"""`firmshake inspect`: what a file or a folder is, what is wrong with it, what to do."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.markup import escape

from firmshake.cli import passphrase
from firmshake.cli.terminal import terminal
from firmshake.errors import Error
from firmshake.inspect.desk import Ask
from firmshake.wording import printable


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--passphrase-fd",
    type=int,
    metavar="N",
    help="Read passphrases from file descriptor N, one a line, and do not ask for them.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
def command(paths: tuple[str, ...], passphrase_fd: int | None, as_json: bool) -> None:
    """Say what each PATH is, what is wrong with it and what to do.

    A PATH may be a key, a certificate, a chain in any order, a certificate request, a CRL, PKCS#12,
    firmware, an image of a flash or of a filesystem, UF2, a board's settings, a project's folder, a
    CircuitPython drive, any other folder, or "-" for standard input. Whatever is named together is
    held against each other: key and certificate, certificate and CA, CRL and certificate.

    Private keys and passwords are never shown. What is encrypted asks for its passphrase. The exit
    status is 1 where something is wrong or stays locked.
    """
    from firmshake.inspect import reading, record, relations, show
    from firmshake.inspect.desk import Desk

    with _Working() as working:
        desk = Desk(datetime.now(UTC), _asker(passphrase_fd, working))
        found = [reading.look(path, desk, working.note) for path in paths]
        things = relations.related(found, desk.now)
    if as_json:
        click.echo(json.dumps(record.of(things)))
    else:
        terminal().print(show.show(things))
    if any(one.wrong or one.shut for one in things):
        sys.exit(1)


class _Working:
    """What is being read, on standard error while it is read, and only at a terminal."""

    def __init__(self) -> None:
        self._status = Console(stderr=True).status("")

    def note(self, text: str) -> None:
        self._status.update(f"looking at {escape(printable(text))}")
        if self._status.console.is_terminal:
            self._status.start()

    def stop(self) -> None:
        self._status.stop()

    def __enter__(self) -> _Working:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _asker(fd: int | None, working: _Working) -> Ask:
    """Asks at the terminal, or takes the next line of a file descriptor."""

    def ask(what: str) -> bytes | None:
        working.stop()
        if fd is not None:
            return passphrase.read_line(fd, "passphrase") or None
        if not sys.stdin.isatty():
            return None
        return _prompted(what)

    return ask


def _prompted(what: str) -> bytes | None:
    """The answer at the terminal; None for an empty one, which leaves the thing locked."""
    text = click.prompt(
        f"passphrase of {what} (Enter leaves it locked)",
        hide_input=True,
        default="",
        show_default=False,
        err=True,
    )
    given = str(text).encode("utf-8", "surrogateescape")
    if len(given) > passphrase.LONGEST:
        raise Error(f"the passphrase is longer than {passphrase.LONGEST} bytes", status=2)
    return given or None
