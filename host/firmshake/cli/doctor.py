"""`firmshake doctor`: the board's own ladder, climbed from this computer."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from firmshake.cli import target
from firmshake.cli.printer import Printer
from firmshake.cli.terminal import terminal
from firmshake.ladderview import summary


@click.command()
@click.argument("broker", required=False, metavar="[HOST[:PORT]]")
@target.options
@click.option("--quick", is_flag=True, help="The ladder alone, and no further look at the broker.")
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def command(broker: str | None, quick: bool, as_json: bool, **given: Any) -> None:
    """Climb the board's own ladder to the broker from this computer: no board, no flashing.

    In a project, the broker, the CA and the names are the project's, and --device is enough to show
    a certificate; without it, and without --cert and --key, none is shown. The exit status is 1
    where the ladder's end is not reached.

    After it comes what a full library sees of the broker: its chain, what each kind of board will
    use with it, what it accepts and whether it resumes sessions. That takes some 30 connections, on
    which nothing but handshakes is sent.
    """
    wanted = target.find(broker, **given)
    printer = Printer(terminal())
    verdict = wanted.climb((lambda event: None) if as_json else printer.show)
    printer.end_line()
    if not as_json and verdict.verdict is None:
        terminal().print(summary(verdict))
    found: dict[str, object] = verdict.to_dict()
    if not quick:
        from firmshake.serverview import record, report

        view = wanted.look(verdict)
        found["server"] = record.of(view)
        if not as_json:
            terminal().print(report.show(view))
    if as_json:
        click.echo(json.dumps(found))
    if not verdict.ok:
        sys.exit(1)
