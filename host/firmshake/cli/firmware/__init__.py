"""`firmshake firmware`: firmware for boards, kept on this computer. A module for each command."""

from __future__ import annotations

import click

from firmshake.cli.lazygroup import LazyGroup

# name of the command: one line of help, shown without importing the command
COMMANDS = {
    "add": "Keep firmware files.",
    "list": "List the firmware that is kept.",
    "fetch": "Get firmware from the download site of its project.",
}


@click.group("firmware", cls=LazyGroup, package=__name__, table=COMMANDS)
def command() -> None:
    """Firmware for boards, kept on this computer and told apart by its own bytes."""
