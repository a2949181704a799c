"""`firmshake ca`: what the project's private CA does. Each of its commands is a module here."""

from __future__ import annotations

import click

from firmshake.cli.lazygroup import LazyGroup

# name of the command: one line of help, shown without importing the command
COMMANDS = {
    "broker": "Give the broker a new certificate and key.",
}


@click.group("ca", cls=LazyGroup, package=__name__, table=COMMANDS)
def command() -> None:
    """The project's private CA."""
