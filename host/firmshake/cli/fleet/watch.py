"""`firmshake fleet watch`: what boards report of themselves, live, and kept in the registry."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake import interrupts
from firmshake.cli import opening, parameters
from firmshake.cli.parameters import Seconds
from firmshake.cli.terminal import terminal
from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.ca.identity import Identity
    from firmshake.cli.fleet.watchview import Kind
    from firmshake.fleet.watch import View
    from firmshake.project import Project
    from firmshake.registry import Registry

# days that the watcher's certificate is good for
_DAYS, _MOST_DAYS = 7, 90
_LONGEST_S = _MOST_DAYS * 86400


@click.command()
@parameters.project_folder
@click.option(
    "--for",
    "seconds",
    type=Seconds(min=0, max=_LONGEST_S),
    metavar="SECONDS",
    help="End after so long. By itself: with Ctrl-C, or the certificate.",
)
@click.option(
    "--days",
    type=click.IntRange(1, _MOST_DAYS),
    default=_DAYS,
    show_default=True,
    metavar="N",
    help="How long the watcher's certificate is good for, and the watching lasts at most.",
)
@click.option("--plain", is_flag=True, help="A line for each verdict, for logs.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line for each verdict.")
@parameters.passphrase_fd
def command(
    folder: Path,
    seconds: float | None,
    days: int,
    plain: bool,
    as_json: bool,
    passphrase_fd: int | None,
) -> None:
    """Listen to what boards report when they connect, and keep the last verdict of each.

    The CA signs a certificate of a few days for this and is closed again. The broker lets who has
    it read the boards' reports, and do nothing else; from the first time on, it keeps what they
    report while no watcher is there. `firmshake fleet status` shows what was kept.
    """
    if plain and as_json:
        raise Error("--plain and --json exclude each other", hint="leave out one", status=2)
    from firmshake import project

    kind: Kind = "json" if as_json else "plain" if plain else "auto"
    fleet = project.load(folder)
    with _alone(fleet):
        registry, identity = _admitted(fleet, days, passphrase_fd)
        from firmshake.cli.fleet import watchview

        _tell_missing_right(fleet)
        until = identity.certificate.not_valid_after_utc
        zone = watchview.zone(until)
        title = f"{fleet.name}, until {until.astimezone(zone):%Y-%m-%d %H:%M} {zone}"
        # Ctrl-C is the usual end; all that was heard is kept
        with (
            watchview.view(kind, terminal(), title) as view,
            contextlib.suppress(interrupts.Interrupted),
        ):
            _watch(fleet, registry, identity, view, seconds)


@contextlib.contextmanager
def _alone(fleet: Project) -> Iterator[None]:
    """Hold the project's place for one watcher; another computer's is put out by the broker.

    So is another one here, where the broker's folder is another user's.
    """
    from firmshake import exclusive

    with contextlib.ExitStack() as held:
        try:
            held.enter_context(exclusive.folder(fleet.broker_folder))
        except Error:
            raise Error(
                f"another fleet watch of {fleet.name} runs on this computer",
                hint="let one run: its verdicts are in the registry, and fleet status shows them",
            ) from None
        except OSError:
            pass
        yield


def _admitted(fleet: Project, days: int, passphrase_fd: int | None) -> tuple[Registry, Identity]:
    """The registry and a certificate; the CA's key is gone when this returns."""
    from firmshake.fleet import watchidentity

    opened = opening.open_loaded(fleet, *opening.parts(fleet), passphrase_fd)
    now = datetime.now(UTC)
    made = watchidentity.issue(opened.authority, opened.registry, now=now, days=days)
    return opened.registry, made


def _watch(
    fleet: Project, registry: Registry, identity: Identity, view: View, seconds: float | None
) -> None:
    from firmshake.fleet import watchidentity
    from firmshake.fleet.watch import Faults, Watch
    from firmshake.fleet.watchinbox import Inbox
    from firmshake.fleet.watchlink import Link

    broker = fleet.broker
    faults = Faults(view.note)
    inbox = Inbox(f"mqtt {broker.host}:{broker.port}", faults.tell)
    link = Link(broker, watchidentity.context(identity, broker), inbox.put, view.note)
    ends = identity.certificate.not_valid_after_utc
    Watch(link, inbox, registry, view, faults, ends).run(seconds)


def _tell_missing_right(fleet: Project) -> None:
    """Say what to add to the project's rules for mosquitto, where an older firmshake made them."""
    from firmshake import brokerconfig

    path = fleet.broker_folder / "acl"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return  # another broker, or another's file
    wanted = [line for line in brokerconfig.WATCHER_ACL.splitlines() if not line.startswith("#")]
    if all(line in text.splitlines() for line in wanted):
        return
    click.echo(f"firmshake: {printable(str(path))} does not let the watcher read", err=True)
    click.echo("  add these lines at its end, and have mosquitto read them (SIGHUP):", err=True)
    for line in wanted:
        click.echo(f"    {line}", err=True)
