"""`firmshake fleet run`: many boards, from plugged in to proved, at once."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import click

from firmshake import interrupts
from firmshake.cli import opening, parameters, proving
from firmshake.cli.fleet import begun
from firmshake.cli.parameters import Seconds
from firmshake.errors import Error
from firmshake.fleet.row import Totals

if TYPE_CHECKING:  # slow to load, and usage is checked first
    from firmshake.cli.fleetview import Kind
    from firmshake.fleet.desk import Counter
    from firmshake.fleet.manifest import Manifest
    from firmshake.fleet.station import Station
    from firmshake.fleet.worker import Job
    from firmshake.project import Project
    from firmshake.registry.fleetrecord import RunRecord

_MOST = 1_000_000
_MOST_JOBS = 256
# boards wait for bytes most of the time; each worker takes some 20 MB
_JOBS = 32


@click.command()
@click.argument("manifest", required=False, type=click.Path(dir_okay=False, path_type=Path))
@parameters.project_folder
@click.option(
    "--count",
    type=click.IntRange(1, _MOST),
    metavar="N",
    help="So many boards, without a manifest.",
)
@click.option(
    "--prefix",
    metavar="PREFIX",
    help="Number the devices: PREFIX-000001 and on. By itself: the fleet's prefix and the board's"
    " hardware address.",
)
@click.option(
    "--station",
    is_flag=True,
    help="Go on without end: plug in, wait for green, unplug. Ctrl-C ends it.",
)
@click.option("--resume", is_flag=True, help="Go on with the last run that was not finished.")
@click.option(
    "--jobs",
    type=click.IntRange(1, _MOST_JOBS),
    default=_JOBS,
    show_default=True,
    metavar="N",
    help="The most boards at a time.",
)
@click.option(
    "--port",
    "named",
    multiple=True,
    metavar="PORT",
    help="Work on this port alone, such as rfc2217://HOST:PORT; again for more. By itself: on every"
    " USB serial port and board's drive.",
)
@click.option(
    "--via",
    type=click.Choice(("esptool", "repl", "drive")),
    help="The way onto the boards. By itself: the best for what each is.",
)
@proving.proof_time
@click.option(
    "--wait",
    "wait_s",
    type=Seconds(min=0, max=proving.LONGEST_S),
    metavar="SECONDS",
    help="How long to wait for a board to be plugged in when there is nothing else to do. By"
    " itself: until Ctrl-C.",
)
@click.option(
    "--force", is_flag=True, help="Give boards that have all of it new keys nevertheless."
)
@click.option("--bell", is_flag=True, help="Ring the terminal's bell when a board fails.")
@click.option("--plain", is_flag=True, help="A line for each change, for logs.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line for each change.")
@parameters.passphrase_fd
def command(
    manifest: Path | None,
    folder: Path,
    count: int | None,
    prefix: str | None,
    station: bool,
    resume: bool,
    jobs: int,
    named: tuple[str, ...],
    via: str | None,
    timeout: float,
    wait_s: float | None,
    force: bool,
    bell: bool,
    plain: bool,
    as_json: bool,
    passphrase_fd: int | None,
) -> None:
    """Take many boards from plugged in to proved: those that are there, and those that come.

    MANIFEST (CSV or TOML, see firmshake fleet check) says which devices there are to be. Boards are
    told apart by their unique ids, never by their ports. Each gets a key and a certificate of its
    own, and is proved by a connection to the broker. The run ends when every device is proved or
    has failed; begun again, with the same manifest or with --resume, it goes on where it was.
    """
    from firmshake import boardfiles, exclusive, project
    from firmshake.cli import fleetview
    from firmshake.fleet import sight
    from firmshake.fleet.station import Station, Wanted
    from firmshake.registry.database import waits_told

    _check_usage(manifest, count, prefix, station, resume)
    _check_ports(named, station)
    fleet = project.load(folder)
    boardfiles.check(fleet)
    click.get_current_context().with_resource(waits_told(_say))
    places, registry = opening.parts(fleet)
    run = read = None
    if resume:
        run, read = begun.resumed(fleet, registry)
    elif manifest is not None:
        read = begun.read(manifest, fleet, as_json)
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    with exclusive.folder(fleet.root):
        if run is None:
            run = begun.planned(fleet, registry, manifest, read, count, prefix)
        registry.reopen(run.id)
        wanted = Wanted(_jobs(fleet, via, timeout, force, named), jobs, timeout, station, wait_s)
        kind: Kind = "json" if as_json else "plain" if plain else "auto"
        with _resumable(run), fleetview.view(kind, bell=bell) as view, waits_told(view.note):
            counter = _counter(opened, run, read)
            totals = _worked(Station(counter, wanted, view, sight.of(fleet, named)))
        done = totals.wanted is not None and totals.proved >= totals.wanted
        if done:
            registry.end_run(run.id)
    if not done:
        click.echo("what became of each board: firmshake fleet report", err=True)
        sys.exit(1)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(f"firmshake: {text}", err=True)


@contextlib.contextmanager
def _resumable(run: RunRecord) -> Iterator[None]:
    """Say how an interrupted run goes on, if it has an end."""
    try:
        yield
    except interrupts.Interrupted:
        if run.wanted is not None:
            with contextlib.suppress(OSError):  # the terminal may be what went away
                click.echo("go on with: firmshake fleet run --resume", err=True)
        raise


def _check_ports(named: Sequence[str], station: bool) -> None:
    if station and any("://" in port for port in named):
        raise Error(
            "a station can't tell one board from the next on a port that is always there",
            hint="leave out --station: each board is a run of its own; or plug boards in by USB",
            status=2,
        )


def _check_usage(
    manifest: Path | None, count: int | None, prefix: str | None, station: bool, resume: bool
) -> None:
    if resume and (manifest is not None or count is not None or prefix is not None):
        raise Error(
            "--resume goes without a manifest, --count and --prefix",
            hint="it goes on with the run as it was begun",
            status=2,
        )
    if manifest is not None and (count is not None or prefix is not None):
        raise Error(
            "a manifest goes without --count and --prefix",
            hint="the manifest says how many devices there are, and how they are called",
            status=2,
        )
    if manifest is None and count is None and not station and not resume:
        raise Error(
            "how many boards?",
            hint="give a manifest, --count N, --station for as many as come, or --resume",
            status=2,
        )


def _jobs(
    fleet: Project, via: str | None, timeout: float, force: bool, named: Sequence[str]
) -> Callable[[str], Job]:
    from firmshake.fleet.worker import Job

    def job(target: str) -> Job:
        # where ports are named, nobody has looked for drives; else what has one is its drive
        return Job(target, fleet, via, timeout, force, is_bare=not named)

    return job


def _counter(opened: opening.Opened, run: RunRecord, read: Manifest | None) -> Counter:
    from firmshake.fleet.desk import Counter
    from firmshake.fleet.station import LEASE_S

    session = f"{os.getpid()}-{token_hex(8)}"
    begun.take_over(opened.fleet.root, opened.registry, session)
    planned = read.planned if read is not None else ()
    return Counter(
        project=opened.fleet,
        authority=opened.authority,
        registry=opened.registry,
        run=run,
        station=f"{socket.gethostname()}:{opened.fleet.root.resolve()}",
        session=session,
        lease_s=LEASE_S,
        settings={one.line: one.settings for one in planned if one.settings},
    )


def _worked(station: Station) -> Totals:
    """Let it work to its end, and say what has to be done then."""
    try:
        return station.work()
    finally:
        run, registry = station.counter.run, station.counter.registry
        if run.wanted is None:
            registry.end_run(run.id)
        if count := station.superseded:
            many = "certificate was" if count == 1 else "certificates were"
            said = f"{count} earlier {many} revoked: `firmshake ca crl` tells the broker"
            station.view.note(said)
