"""`firmshake ca audit`: whether registry, log and files agree."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from firmshake.cli import opening, parameters
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.audit import Audited
    from firmshake.ca.finding import Finding


class Head(click.ParamType[tuple[int, str]]):
    """A log entry that was noted elsewhere: its number, a colon and its hash."""

    name = "head"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-fA-F]{64})", value)
        if not found:
            self.fail(f"{value!r} is not as the audit prints it: NUMBER:SHA256", param, ctx)
        return int(found[1]), found[2].lower()


@click.command()
@click.option(
    "--head",
    type=Head(),
    metavar="NUMBER:SHA256",
    help="What an earlier audit printed as the log's head; the log must still hold it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@parameters.project_folder
def command(head: tuple[int, str] | None, as_json: bool, folder: Path) -> None:
    """Check that registry, log and files agree, and that nothing was altered or lies open.

    Every hash of the log is checked, the signature of every certificate, what stands on each
    revocation list, and what the broker is told to trust. Who can write the registry can write all
    of it anew: note the head that this prints where they can't write, and give it next time.

    The exit status is 1 where more than notes was found.
    """
    from firmshake.audit import audit
    from firmshake.ca.finding import NOTE

    fleet, _, registry = opening.load(folder)
    found: list[Finding] = []
    console = Console(stderr=True, highlight=False)
    with console.status("checking the log and every certificate") as status:

        def progress(count: int) -> None:
            status.update(f"checking the log and every certificate: {count:,}")

        done = audit(
            fleet, registry, found.append, now=datetime.now(UTC), head=head, progress=progress
        )
    _show(done, found, as_json)
    if any(one.severity != NOTE for one in found):
        sys.exit(1)


def _show(done: Audited, found: list[Finding], as_json: bool) -> None:
    head = f"{done.head.seq}:{done.head.sha256}" if done.head else ""
    if as_json:
        said = {"certificates": done.certificates, "head": head}
        click.echo(json.dumps(said | {"findings": [asdict(one) for one in found]}))
        return
    for one in found:
        click.echo(f"{one.severity:<8} {printable(one.what)}")
        if one.fix:
            click.echo(f"{'':<8} {printable(one.fix)}")
    click.echo(
        f"{done.certificates:,} certificates and {done.head.seq if done.head else 0:,}"
        " log entries were checked"
    )
    click.echo(f"head {head}")
