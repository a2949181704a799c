"""`firmshake fleet`: many boards at once. Each of its commands is a module here."""

from __future__ import annotations

import click

from firmshake.cli.lazygroup import LazyGroup

# name of the command: one line of help, shown without importing the command
COMMANDS = {
    "run": "Take many boards from plugged in to proved, at once.",
    "check": "Look a manifest through, without touching a board.",
    "status": "Show how far the fleet has come.",
    "report": "Write what became of a run, as HTML and CSV.",
    "labels": "Write a label with a QR code for each device, as SVG.",
    "watch": "Listen to what boards report to the broker, and keep it in the registry.",
}


@click.group("fleet", cls=LazyGroup, package=__name__, table=COMMANDS)
def command() -> None:
    """Many boards at once: none lost, none twice."""
