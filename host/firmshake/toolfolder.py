"""A tools folder and its list of the programs that `make setup` put there or found elsewhere.

A part of a list's entry that begins with "./" is a path inside the folder, so that a checkout may
move.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

from firmshake.errors import Error

MANIFEST = "tools.json"
FORMAT = 1


def folder() -> Path | None:
    """The tools folder in use, None where there is none; it holds a manifest."""
    named = os.environ.get("FIRMSHAKE_TOOLS")
    # absolute, since programs are started in other folders
    place = Path(named).absolute() if named else Path(__file__).parents[2] / ".tools"
    return place if (place / MANIFEST).is_file() else None


def read_manifest(place: Path) -> dict[str, list[str]]:
    """Every program noted in a tools folder, as the command that starts it.

    Raises Error if the manifest is not one of ours.
    """
    path = place / MANIFEST
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if content["v"] != FORMAT:
            raise ValueError
        programs = {str(k): [str(part) for part in v] for k, v in content["programs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Error(
            f"cannot read {path}", f"delete the folder {place} and run `make setup`"
        ) from error
    return {name: [_inside(place, part) for part in parts] for name, parts in programs.items()}


def write_manifest(place: Path, programs: dict[str, list[str]]) -> None:
    """Note the programs of a tools folder; parts that lie in the folder are kept relative."""
    relative = {name: [_relative(place, part) for part in v] for name, v in programs.items()}
    text = json.dumps({"v": FORMAT, "programs": relative}, indent=1, sort_keys=True) + "\n"
    beside = place / (MANIFEST + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(place / MANIFEST)


def noted(name: str) -> list[str]:
    """What the tools folder in use says of a program, empty where it says nothing."""
    place = folder()
    return (
        list(_manifest(place, (place / MANIFEST).stat().st_mtime_ns).get(name, ())) if place else []
    )


@functools.cache
def _manifest(place: Path, changed_ns: int) -> dict[str, list[str]]:
    return read_manifest(place)


def _inside(place: Path, part: str) -> str:
    pieces = part.split(":")
    return ":".join(str(place / piece[2:]) if piece.startswith("./") else piece for piece in pieces)


def _relative(place: Path, part: str) -> str:
    # one part may be a list of folders, as the loader takes it
    prefix = f"{place}{os.sep}"
    pieces = part.split(":")
    return ":".join(f"./{p.removeprefix(prefix)}" if p.startswith(prefix) else p for p in pieces)
