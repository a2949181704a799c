"""`firmshake registry`: where the fleet's books are kept. Each of its commands is a module here."""

from __future__ import annotations

import click

from firmshake.cli.lazygroup import LazyGroup

# name of the command: one line of help, shown without importing the command
COMMANDS = {
    "show": "Show where the registry is, its version, and what it holds.",
    "upgrade": "Bring the registry of an older firmshake to this one's version.",
    "move": "Move the registry into PostgreSQL, where several stations can share it.",
}


@click.group("registry", cls=LazyGroup, package=__name__, table=COMMANDS)
def command() -> None:
    """Where the fleet's books are kept: a file, or PostgreSQL."""
