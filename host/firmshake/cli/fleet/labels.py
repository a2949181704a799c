"""`firmshake fleet labels`: a label for each device, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import track

from firmshake import newfile
from firmshake.cli import opening, parameters
from firmshake.cli.fleet.runs import run_argument, wanted_run
from firmshake.cli.parameters import DeviceId
from firmshake.errors import Error
from firmshake.wording import plural, printable

if TYPE_CHECKING:
    from firmshake.fleet.labels import Label
    from firmshake.registry import DeviceRecord, Registry

FOLDER = "labels"
_SIZE = "50x25"
# what is on it is stuck to the device for everybody to see
_MODE = 0o644


@click.command()
@run_argument
@parameters.project_folder
@click.option(
    "--device",
    "devices",
    type=DeviceId(),
    multiple=True,
    metavar="ID",
    help="This device only, whatever its run; may be given several times.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where to put the files. By itself: a new folder in the project's labels/.",
)
@click.option(
    "--size",
    "size_text",
    default=_SIZE,
    show_default=True,
    metavar="WxH",
    help="A label's width and height in millimetres.",
)
@click.option(
    "--sheet",
    type=click.Choice(("a4", "letter")),
    help="Many labels on each page, with lines to cut along. By itself: one file a device.",
)
def command(
    run: int | None,
    folder: Path,
    devices: tuple[str, ...],
    out: Path | None,
    size_text: str,
    sheet: str | None,
) -> None:
    """Write a label for each device that RUN, or the last run, has proved.

    Each has a QR code of the device id and the fingerprint of its certificate, and both in letters:
    the fingerprint's first 16 digits. A file that is there already is never written over.
    """
    from firmshake.fleet import labels

    if run is not None and devices:
        raise Error("--device goes without a run", hint="leave one of them out", status=2)
    if out == Path("-"):
        raise Error("labels are files, and no output", hint="name a folder for them", status=2)
    size = labels.size(size_text)
    registry = opening.registry_of(folder)
    wanted = _named(registry, devices) if devices else _proved(registry, run)
    if not wanted:
        raise Error("no device of that run is proved", hint="see: firmshake fleet status")
    labels.check(wanted, size, sheet)
    target = out or folder / FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    target.mkdir(parents=True, exist_ok=True)
    pages = labels.sheets(wanted, size, sheet) if sheet else None
    if pages is None:
        files = ((f"{one.device_id}.svg", labels.single(one, size)) for one in wanted)
    else:
        files = ((f"labels-{number:04}.svg", page) for number, page in enumerate(pages, 1))
    count = _write(target, files, None if sheet else len(wanted))
    on = f" on {count} {plural(count, 'sheet')}" if sheet else ""
    click.echo(f"{printable(str(target))}: {len(wanted)} {plural(len(wanted), 'label')}{on}")


def _named(registry: Registry, devices: Sequence[str]) -> list[Label]:
    made = []
    for device_id in dict.fromkeys(devices):
        device = registry.device(device_id)
        label = _label(device) if device else None
        if label is None:
            raise Error(
                f"{device_id} has no certificate in force", hint="see: firmshake ca list --device"
            )
        made.append(label)
    return made


def _proved(registry: Registry, run: int | None) -> list[Label]:
    found = registry.devices_of(wanted_run(registry, run).id)
    proved = (one.device for one in found if one.slot.status == "proved" and one.device)
    return [label for label in map(_label, proved) if label]


def _label(device: DeviceRecord) -> Label | None:
    from firmshake.fleet.labels import Label

    certificate = device.certificate
    if certificate is None or certificate.revoked_at is not None:
        return None
    return Label(device.device_id, certificate.fingerprint_sha256)


def _write(folder: Path, files: Iterator[tuple[str, str]], total: int | None) -> int:
    """Write the new files; return how many."""
    console, count = Console(stderr=True), 0
    shown = track(
        files,
        "drawing",
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    for name, content in shown:
        try:
            newfile.create_whole(folder / name, content.encode(), _MODE)
        except FileExistsError:
            raise Error(
                f"{folder / name} is there already", hint="name another folder with --out"
            ) from None
        count += 1
    return count
