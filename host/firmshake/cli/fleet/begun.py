"""Which run a station works on: a new one, one that goes on, or the last that was not finished."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from firmshake.cli.fleet import check
from firmshake.errors import Error

if TYPE_CHECKING:  # slow to load, and usage is checked first
    from firmshake.fleet.manifest import Manifest
    from firmshake.project import Project
    from firmshake.registry import Registry
    from firmshake.registry.fleetrecord import RunRecord

# in the project's folder: who worked there last
_SESSION_FILE = "fleet.session"


def read(path: Path, fleet: Project, as_json: bool) -> Manifest:
    """Return the manifest; where it is wrong, all that is wrong with it is printed first.

    Raises Error then.
    """
    from firmshake.fleet.problem import BadManifest

    try:
        return check.read(path, fleet)
    except BadManifest as error:
        check.print_problems(error.problems, as_json)
        raise Error("nothing was done: mend the manifest and run the same command again") from None


def resumed(fleet: Project, registry: Registry) -> tuple[RunRecord, Manifest | None]:
    """Return the last run that was not finished, with its manifest, if it has one."""
    run = registry.last_run()
    if run is None:
        raise Error(
            "there is no run to resume: all are finished",
            hint="firmshake fleet status shows the devices",
        )
    if run.manifest is None:
        return run, None
    found = read(Path(run.manifest), fleet, as_json=False)
    if found.digest != run.digest:
        raise Error(
            f"the manifest {run.manifest} is not as it was when the run was begun",
            hint=f"run it as it is now, which leaves proved devices as they are: firmshake fleet"
            f" run {run.manifest}",
        )
    return run, found


def planned(
    fleet: Project,
    registry: Registry,
    path: Path | None,
    manifest: Manifest | None,
    count: int | None,
    prefix: str | None,
) -> RunRecord:
    """Return the run of a manifest, or a new one of so many boards, None for any number."""
    if path is not None and manifest is not None:
        where = str(path.resolve())
        return registry.plan(manifest.name, manifest.digest, where, manifest.planned)
    if prefix is not None:
        rule = prefix + "-{number:06}"
    else:
        rule = f"{fleet.prefix}-{{unique_id}}" if fleet.prefix else "{unique_id}"
    return registry.open_run(prefix or fleet.name, rule, count)


def take_over(folder: Path, registry: Registry, session: str) -> None:
    """Free what the last process in this folder had claimed, and did not live to give back."""
    from firmshake import newfile

    path = folder / _SESSION_FILE
    with contextlib.suppress(FileNotFoundError):
        registry.drop_session(path.read_text(encoding="utf-8").strip())
    newfile.replace(path, f"{session}\n".encode())
