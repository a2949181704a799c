"""`firmshake ca expiring`: what has to be renewed soon."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import listing

if TYPE_CHECKING:
    from firmshake.registry import Registry

_DAYS = {"d": 1, "w": 7, "y": 365}
_REMEDIES = {
    "root": "a new CA for the whole fleet: firmshake init, and provision every board",
    "intermediate": "firmshake ca intermediate",
    "broker": "firmshake ca broker",
    "device": "provision the board again, or firmshake ca renew",
    "other": "whoever uses it needs another",
}


class Span(click.ParamType[timedelta]):
    """A span of time in days, weeks or years, such as 60d."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,5})([dwy]?)", value)
        if not found:
            self.fail(f"{value!r} is no span of time; give days, such as 60d", param, ctx)
        return timedelta(days=int(found[1]) * _DAYS.get(found[2], 1))


@click.command()
@click.option(
    "--within",
    type=Span(),
    default="60d",
    show_default=True,
    metavar="SPAN",
    help="How far to look: days (60d), weeks (8w) or years (1y).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@parameters.project_folder
def command(within: timedelta, as_json: bool, folder: Path) -> None:
    """List what expires soon or has expired, and was not replaced: certificates and lists.

    Nothing on standard output means that nothing is due.
    """
    _, _, registry = opening.load(folder)
    now = datetime.now(UTC)
    due = 0
    for one in registry.expiring(now + within):
        due += 1
        click.echo(listing.as_json(one) if as_json else listing.line(one, now))
        if not as_json and due == 1:
            click.echo(f"  {_REMEDIES[one.kind]}", err=True)
    due += _lists(registry, now + within, now, as_json)
    if not due:
        click.echo(f"nothing expires before {now + within:%Y-%m-%d}", err=True)


def _lists(registry: Registry, before: datetime, now: datetime, as_json: bool) -> int:
    """Print the lists that are due; return how many."""
    last = {one.issuer: one for one in registry.crls()}
    due = [one for one in last.values() if one.next_update < before]
    for one in due:
        if as_json:
            fields = {"kind": "crl", "issuer": one.issuer, "number": one.number}
            click.echo(json.dumps(fields | {"not_after": one.next_update.isoformat()}))
            continue
        past = "was due" if one.next_update <= now else "next is due"
        click.echo(f"crl          of {one.issuer:<25.16} {past} {one.next_update:%Y-%m-%d}")
    if due and not as_json:
        click.echo("  firmshake ca crl", err=True)
    return len(due)
