"""`firmshake ca expiring`: what has to be renewed soon."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from firmshake.cli import opening, parameters
from firmshake.cli.ca import listing
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.ca.store import Places
    from firmshake.project import Project
    from firmshake.registry import CrlRecord, Registry

_DAYS = {"d": 1, "w": 7, "y": 365}
_REMEDIES = {
    "crl": "firmshake ca crl, which takes the root's key for the root's list (--root)",
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
    fleet, places, registry = opening.load(folder)
    now = datetime.now(UTC)
    remedies = {}
    for one in registry.expiring(now + within):
        click.echo(listing.as_json(one) if as_json else listing.lines(one, now))
        remedies[one.kind] = _REMEDIES[one.kind]
    for subject, crl in _lists(fleet, places, registry, now, now + within):
        click.echo(_list_json(crl) if as_json else _list_line(subject, crl, now))
        remedies["crl"] = _REMEDIES["crl"]
    if not remedies:
        click.echo(f"nothing expires before {now + within:%Y-%m-%d}", err=True)
    for kind, remedy in {} if as_json else remedies.items():
        click.echo(f"{kind}: {remedy}", err=True)


def _lists(
    fleet: Project, places: Places, registry: Registry, now: datetime, before: datetime
) -> Iterator[tuple[str, CrlRecord]]:
    """The lists that are due, each with the name of its CA."""
    from firmshake.ca import certificate as certificates
    from firmshake.ca import lists, store

    for place in lists.counting(fleet.ca_folder, places, registry):
        own = store.certificate(fleet.ca_folder, place)
        ends = own.not_valid_after_utc
        last = registry.last_crl(certificates.own_key(own))
        # a CA that has ended needs none any more, nor one that ends with its list
        if ends > now and last and last.next_update < min(before, ends):
            yield certificates.subject(own), last


def _list_line(subject: str, one: CrlRecord, now: datetime) -> str:
    past = "was due" if one.next_update <= now else "next is due"
    return f"{'crl':<12} {printable(subject)}: {past} {one.next_update:%Y-%m-%d}"


def _list_json(one: CrlRecord) -> str:
    fields = {"kind": "crl", "issuer": one.issuer, "number": one.number}
    return json.dumps(fields | {"not_after": one.next_update.isoformat()})
