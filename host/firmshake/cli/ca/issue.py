"""`firmshake ca issue`: keys and certificates for devices that are no boards."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from firmshake.cli import opening, parameters, passphrase
from firmshake.cli.ca import handing
from firmshake.cli.parameters import DeviceId
from firmshake.errors import Error
from firmshake.registry.numbers import LAST_NUMBER
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.ca.bulk import Done
    from firmshake.cli.opening import Opened


@click.command()
@click.argument("ids", nargs=-1, type=DeviceId(), metavar="[ID...]")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE",
    help="Where to: a folder for IDs, a new file with --count.",
)
@click.option(
    "--count",
    type=click.IntRange(1, LAST_NUMBER),
    metavar="N",
    help="That many numbered devices, as lines of JSON: device, certificate, key.",
)
@click.option(
    "--prefix",
    metavar="P",
    help="With --count: what the ids begin with. By itself: the fleet's prefix.",
)
@click.option(
    "--profile",
    metavar="NAME",
    help="A table [profile.NAME] of profiles.toml. By itself: [device].",
)
@click.option(
    "--clear-keys",
    is_flag=True,
    help="With --count: keys in clear, for tools that open none. Whoever reads the file has them.",
)
@click.option(
    "--key-passphrase-fd",
    "key_fd",
    type=int,
    metavar="N",
    help="With --count: read the passphrase of the keys from file descriptor N, and do not ask.",
)
@click.option("--json", "as_json", is_flag=True, help="What was made, as a JSON object a line.")
@parameters.project_folder
@parameters.passphrase_fd
def command(
    ids: tuple[str, ...],
    out: Path,
    count: int | None,
    prefix: str | None,
    profile: str | None,
    clear_keys: bool,
    key_fd: int | None,
    as_json: bool,
    folder: Path,
    passphrase_fd: int | None,
) -> None:
    """Make keys and certificates for gateways and other clients that are no boards.

    For each ID the folder gets ID.key, ID.crt with the intermediate's certificate, and ca.crt to
    check the broker by. With --count the ids are PREFIX-000001 and so on, behind those that there
    are, and all goes to one file, its keys encrypted with one passphrase. A run that was broken off
    goes on when it is called again.
    """
    from firmshake.project import profiles_of

    _check_usage(ids, count, prefix, clear_keys, key_fd)
    fleet, places, registry = opening.load(folder)
    profiles_of(fleet).of_device(profile)  # before anybody types a passphrase
    if count is None:
        opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
        _issue_named(opened, out, ids, profile, as_json)
        return
    from firmshake.ca import bulk

    begun = bulk.begun(out, registry)  # before anybody types a passphrase
    opened = opening.open_loaded(fleet, places, registry, passphrase_fd)
    secret = None if clear_keys else _ask(key_fd, new=begun is None)
    begins = prefix if prefix is not None else fleet.prefix
    _issue_many(opened, out, begins, count, profile, secret, as_json)


def _ask(fd: int | None, new: bool) -> bytes:
    what, option = "passphrase of the keys", "--key-passphrase-fd"
    return passphrase.ask(fd, confirm=new, what=what, option=option)


def _check_usage(
    ids: tuple[str, ...],
    count: int | None,
    prefix: str | None,
    clear_keys: bool,
    key_fd: int | None,
) -> None:
    if bool(ids) == (count is not None):
        raise Error("give either IDs or --count", hint="see: firmshake ca issue --help", status=2)
    given = {"--prefix": prefix is not None, "--clear-keys": clear_keys}
    given["--key-passphrase-fd"] = key_fd is not None
    for option, there in given.items():
        if there and count is None:
            raise Error(f"{option} goes with --count", hint="leave out one of them", status=2)
    if clear_keys and key_fd is not None:
        raise Error(
            "--clear-keys and --key-passphrase-fd exclude each other", "leave out one", status=2
        )


def _issue_named(
    opened: Opened, out: Path, ids: tuple[str, ...], profile: str | None, as_json: bool
) -> None:
    from firmshake.ca import handover

    now = datetime.now(UTC)
    made = handover.issue(out, ids, opened.authority, opened.registry, now=now, profile=profile)
    for handed in made:
        handing.show(handed, as_json)
    click.echo("next:", err=True)
    click.echo("  give each device its files: the id is its MQTT client id and user name", err=True)


def _issue_many(
    opened: Opened,
    out: Path,
    prefix: str,
    count: int,
    profile: str | None,
    secret: bytes | None,
    as_json: bool,
) -> None:
    from firmshake.ca import bulk

    start = time.monotonic()
    try:
        with _progress(count) as told:
            done = bulk.issue(
                out,
                prefix,
                count,
                opened.authority,
                opened.registry,
                now=datetime.now(UTC),
                passphrase=secret,
                progress=told,
                profile=profile,
            )
    except (KeyboardInterrupt, OSError):
        with contextlib.suppress(Error):
            if bulk.begun(out, opened.registry):
                click.echo(
                    f"{printable(str(out))} is not complete: the same command goes on with it",
                    err=True,
                )
        raise
    _tell(done, printable(str(out)), time.monotonic() - start)
    if as_json:
        fields = {"file": str(out), "first": done.first, "last": done.last}
        click.echo(json.dumps(fields | {"count": done.before + done.written}))
    else:
        click.echo(f"{printable(str(out))}: keys and certificates of {done.first} to {done.last}")
        click.echo(f"  devices      {done.before + done.written:,}")
        click.echo(f"  keys         {'in clear' if secret is None else 'encrypted'}")


def _tell(done: Done, out: str, seconds: float) -> None:
    rate = done.written / max(seconds, 1e-9)
    click.echo(f"{done.written:,} in {seconds:.1f} s: {rate:,.0f} a second", err=True)
    if done.before:
        click.echo(f"{done.before:,} stood in {out} from the run that was broken off", err=True)
    if done.lost:
        click.echo(
            f"{done.lost:,} keys of that run never got there: their certificates are revoked, and"
            " those devices have new ones",
            err=True,
        )
    if done.taken:
        click.echo(
            f"{done.taken:,} of these ids got a certificate from another command meanwhile, and are"
            " not in the file",
            err=True,
        )


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[int], None]]:
    """Give what is to be told how many are done: on a terminal it is shown."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda done: None
        return
    columns = (
        TextColumn("  issuing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("issue", total=count, rate="")

        def told(done: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, rate=f"{speed:,.0f}/s" if speed else "")

        yield told
