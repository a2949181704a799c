"""`firmshake fleet check`: what a manifest would do, or all that is wrong with it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from firmshake.cli import parameters
from firmshake.wording import plural, printable

if TYPE_CHECKING:  # slow to load
    from firmshake.fleet.manifest import Manifest
    from firmshake.fleet.problem import Problem
    from firmshake.project import Project

# what is printed of many: the first ones
_PROBLEMS, _LINES, _IDS = 100, 4, 3


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object, or one a problem.")
@parameters.project_folder
def command(manifest: Path, as_json: bool, folder: Path) -> None:
    """Look a manifest through: say which devices it asks for, or all that is wrong with it.

    No board and nothing in the project is touched. The exit status is 1 where something is wrong.
    docs/manifest.md says what a manifest may hold.
    """
    from firmshake import project
    from firmshake.fleet.problem import BadManifest

    fleet = project.load(folder)
    try:
        found = read(manifest, fleet)
    except BadManifest as error:
        print_problems(error.problems, as_json, err=False)
        sys.exit(1)
    _show(found, as_json)


def read(path: Path, fleet: Project) -> Manifest:
    """Return the manifest in a file; a large one shows how far it is."""
    from firmshake.fleet import manifest

    with Console(stderr=True, highlight=False).status(f"reading {printable(path.name)}") as status:

        def progress(done: int) -> None:
            status.update(f"reading {printable(path.name)}: {done / 1e6:,.0f} MB")

        return manifest.read(path, fleet, progress)


def print_problems(problems: Sequence[Problem], as_json: bool, *, err: bool = True) -> None:
    """Print what is wrong with a manifest: the first of many, or as JSON lines all, on stdout."""
    if as_json:
        for one in problems:
            lines = {"line": one.line, "also": list(one.also)}
            click.echo(json.dumps(lines | {"message": one.message, "hint": one.hint}))
        return
    hints = set()
    for one in problems[:_PROBLEMS]:
        click.echo(f"{_lines(one)}: {printable(one.message)}", err=err)
        if one.hint and one.hint not in hints:
            click.echo(f"  {printable(one.hint)}", err=err)
            hints.add(one.hint)
    if len(problems) > _PROBLEMS:
        more = len(problems) - _PROBLEMS
        click.echo(f"and {more:,} more problems; firmshake fleet check --json prints all", err=err)


def _lines(one: Problem) -> str:
    if not one.also:
        return f"line {one.line}"
    listed = [one.line, *islice(one.also, _LINES - 1)]
    left = 1 + len(one.also) - len(listed)
    if left:
        return f"lines {', '.join(map(str, listed))} and {left:,} more"
    return f"lines {', '.join(map(str, listed[:-1]))} and {listed[-1]}"


def _show(found: Manifest, as_json: bool) -> None:
    planned = found.planned
    boards = Counter(one.board or "any" for one in planned)
    profiles = Counter(one.profile or "device" for one in planned)
    anyone = sum(one.unique_id is None for one in planned)
    own = sum(bool(one.settings) for one in planned)
    first = [one.id_rule for one in planned[:_IDS]]
    if as_json:
        said = {"devices": len(planned), "boards": boards, "profiles": profiles, "first": first}
        said |= {"for_any_board": anyone, "with_settings": own, "digest": found.digest}
        click.echo(json.dumps(said))
        return
    more = ", ..." if len(planned) > len(first) else ""
    click.echo(f"{printable(found.name)}: {len(planned):,} {plural(len(planned), 'device')}")
    click.echo(f"  ids          {', '.join(first)}{more}")
    click.echo(f"  boards       {_counts(boards)}")
    click.echo(f"  profiles     {_counts(profiles)}")
    click.echo(f"  for a board  {len(planned) - anyone:,} by its unique id, {anyone:,} for any")
    click.echo(f"  settings     {own:,} with their own")


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
