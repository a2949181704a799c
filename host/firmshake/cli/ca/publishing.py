"""Says which revocation lists were signed, and what is left to do; shows how far a long one is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click
from rich.console import Console

from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.project import Project
    from firmshake.revocation import Published


def show(fleet: Project, lists: Sequence[Published]) -> None:
    """Say what was signed, and how a broker takes it up; raise Error where some could not be."""
    from firmshake.ca.lists import GATHERED

    for one in lists:
        if one.record is None:
            continue
        number, ends = one.record.number, one.record.next_update
        path, name = printable(str(one.path)), printable(one.subject)
        click.echo(f"{path}: revocation list {number} of {name}")
        click.echo(f"  entries      {one.count:,}")
        click.echo(f"  next update  {ends:%Y-%m-%d %H:%M} UTC at the latest")
    gathered = printable(str(fleet.broker_folder / GATHERED))
    click.echo(f"{gathered}: the lists of all CAs, for the broker")
    click.echo("next:", err=True)
    click.echo("  reload the broker: mosquitto takes it up on SIGHUP", err=True)
    for one in lists:
        if one.error is not None:
            what = f"the list of {one.subject!r} is not signed, and stays as it was"
            raise Error(
                f"{what}: {one.error.message}",
                hint=one.error.hint or "bring its key back, then: firmshake ca crl",
            )


@contextlib.contextmanager
def progress() -> Iterator[Callable[[int], None]]:
    """Give what is to be told how many entries are done: on a terminal it is shown."""
    console = Console(stderr=True, highlight=False)
    with console.status("signing the revocation list") as status:

        def told(count: int) -> None:
            status.update(f"signing the revocation list: {count:,} entries")

        yield told
