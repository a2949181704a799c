"""`firmshake fleet report`: what became of a run, as an HTML page and as CSV."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

import click

from firmshake import newfile
from firmshake.cli import parameters
from firmshake.cli.fleet.runs import run_argument, wanted_run
from firmshake.errors import Error
from firmshake.wording import plural, printable

if TYPE_CHECKING:
    from firmshake.fleet.report import RunFacts, Tally
    from firmshake.registry import Registry

FOLDER = "reports"
_STDOUT = Path("-")
# device ids, serial numbers and fingerprints: what a colleague may read
_MODE = 0o644


@click.command()
@run_argument
@parameters.project_folder
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The new HTML file; - is standard output.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The new CSV file; - is standard output.",
)
def command(run: int | None, folder: Path, html: Path | None, table: Path | None) -> None:
    """Write what became of RUN, or of the last run: each device, and the failures by verdict.

    Where no file is named, both are written to the project's folder reports/, named by run and
    time. A file that is there already is never written over.
    """
    if html == table == _STDOUT:
        raise Error(
            "standard output can't take both, the HTML and the CSV",
            hint="name a file for one of them",
            status=2,
        )
    from firmshake import project
    from firmshake.fleet.report import RunFacts
    from firmshake.registry import open_for

    fleet = project.load(folder)
    registry = open_for(fleet)
    record = wanted_run(registry, run)
    for path in filter(None, (html, table)):
        _check_place(path)
    now = datetime.now(UTC)
    if html is None and table is None:
        html, table = _named(folder, record.id, now)
    stations = sorted(registry.status(record.id).stations)
    tally = _write(registry, RunFacts(fleet.name, record, stations, now), html, table)
    _tell(tally, [path for path in (html, table) if path])


def _tell(tally: Tally, files: Sequence[Path]) -> None:
    """Say which files there are, and the counts; beside the report where that is on the output."""
    aside = _STDOUT in files
    for path in files:
        if path != _STDOUT:
            click.echo(printable(str(path)), err=aside)
    proved, failed, left = (tally.counts[outcome] for outcome in ("proved", "failed", "open"))
    many = f"{proved} {plural(proved, 'device')} proved"
    click.echo(f"{many}, {failed} failed, {left} not done", err=aside)


def _named(folder: Path, run: int, now: datetime) -> tuple[Path, Path]:
    """The files where none is named, their folder made."""
    reports = folder / FOLDER
    reports.mkdir(exist_ok=True)
    stem = f"run-{run}-{now:%Y%m%dT%H%M%SZ}"
    return reports / f"{stem}.html", reports / f"{stem}.csv"


def _write(registry: Registry, facts: RunFacts, html: Path | None, table: Path | None) -> Tally:
    from firmshake.fleet.report import Tally, row_of
    from firmshake.fleet.reportcsv import CsvReport
    from firmshake.fleet.reporthtml import HtmlReport

    tally = Tally(facts.run.created_at)
    with contextlib.ExitStack() as files:
        page = files.enter_context(contextlib.closing(HtmlReport())) if html else None
        page_file = files.enter_context(_new(html)) if html else None
        lines = CsvReport(files.enter_context(_new(table))) if table else None
        for found in registry.devices_of(facts.run.id):
            row = row_of(found, facts.run)
            tally.add(row)
            if page:
                page.add(row)
            if lines:
                lines.add(row)
        if page and page_file:
            page.write(page_file, facts, tally)
    return tally


def _check_place(path: Path) -> None:
    """Raise Error where there is a file already, or no folder for it, before the work is done."""
    if path == _STDOUT:
        return
    if os.path.lexists(path):
        raise Error(f"{path} is there already", hint="name another file")
    if not path.parent.is_dir():
        raise Error(f"there is no folder {path.parent}", hint="make it, or name another file")


@contextlib.contextmanager
def _new(path: Path) -> Iterator[TextIO]:
    """A stream for the text of a new file, which is there whole when the context ends."""
    if path == _STDOUT:
        with _encoded(sys.stdout.buffer) as text:
            yield text
        return
    try:
        with newfile.creating(path, _MODE) as stream, _encoded(stream) as text:
            yield text
    except FileExistsError:
        raise Error(f"{path} is there already", hint="name another file") from None


@contextlib.contextmanager
def _encoded(stream: IO[bytes]) -> Iterator[TextIO]:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()  # which flushes it
