"""The firmware that a project has chosen, as fleet.toml pins it by SHA-256. Does no I/O.

It is a table for each runtime, a line for each board:

    [firmware.micropython]
    esp32-s3 = { version = "v1.26.1", sha256 = "..." }
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import NamedTuple

from firmshake.boards.table import TITLES, Board, Runtime
from firmshake.errors import Error
from firmshake.firmwares import version as versions

WORDS = (
    "must be a table of boards, each as"
    ' esp32 = { version = "v1.26.1", sha256 = "64 hexadecimal digits" }'
)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Pin(NamedTuple):
    """One board's firmware; `sha256` is in lower case."""

    version: str
    sha256: str


Pins = Mapping[tuple[str, str], Pin]  # by runtime and board


def are_pins(value: object) -> bool:
    """Return whether `value` can be the pins of a runtime."""
    return isinstance(value, dict) and all(
        isinstance(pin, dict)
        and pin.keys() == {"version", "sha256"}
        and isinstance(pin["version"], str)
        and versions.parse(pin["version"]) is not None
        and isinstance(pin["sha256"], str)
        and _SHA256.fullmatch(pin["sha256"])
        for pin in value.values()
    )


def of(tables: Mapping[str, object]) -> Pins:
    """Return the pins of tables that `are_pins` takes, given by runtime; None is no table."""
    found = {}
    for runtime, boards in tables.items():
        if isinstance(boards, dict):
            for board, pin in boards.items():
                found[runtime, board] = Pin(pin["version"], pin["sha256"])
    return found


def check_move(
    old: Pin | None, new: Pin, board: Board, runtime: Runtime, *, downgrade: bool = False
) -> None:
    """Raise Error where a pin must not become the other one without the user's word."""
    if old is None or old == new:
        return
    what = f"{TITLES[runtime]} for {board.title}"
    if versions.same(old.version, new.version):
        raise Error(
            f"{what} {new.version} is not the file that is pinned in fleet.toml:"
            f" its SHA-256 is {new.sha256}",
            hint="a published file does not change: find out why; if it is right, take the board's"
            " line out of [firmware] in fleet.toml, and run the same command again",
        )
    before, after = versions.parse(old.version), versions.parse(new.version)
    assert before is not None
    assert after is not None
    if after.order < before.order and not downgrade:
        raise Error(
            f"{what} is pinned to {old.version}, which is newer than {new.version}",
            hint="--downgrade goes back, if that is what you want",
        )


def written(text: str, board: Board, runtime: Runtime, pin: Pin) -> str:
    """Return the fleet.toml that says this pin, and nothing else that it did not say before.

    Raises Error where the file is written so that this cannot be done for the user.
    """
    line = f'{board.name} = {{ version = "{pin.version}", sha256 = "{pin.sha256}" }}'
    header = f"[firmware.{runtime}]"
    lines = text.splitlines()
    at = next((number for number, each in enumerate(lines) if each.strip() == header), None)
    if at is None:
        lines += ["", header, line]
    else:
        end = next((n for n in range(at + 1, len(lines)) if lines[n].startswith("[")), len(lines))
        mine = re.compile(rf"\s*[\"']?{re.escape(board.name)}[\"']?\s*=")
        old = next((n for n in range(at + 1, end) if mine.match(lines[n])), None)
        lines[at + 1 : at + 1] = [line] if old is None else []
        if old is not None:
            lines[old] = line
    made = "\n".join(lines) + "\n"
    _check_written(text, made, board, runtime, pin, line)
    return made


def _check_written(
    before: str, after: str, board: Board, runtime: Runtime, pin: Pin, line: str
) -> None:
    wanted = tomllib.loads(before)
    boards = wanted.setdefault("firmware", {}).setdefault(runtime, {})
    boards[board.name] = pin._asdict()
    try:
        right = tomllib.loads(after) == wanted
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise Error(
            "the firmware cannot be pinned in this fleet.toml automatically",
            hint=f"say so yourself, below [firmware.{runtime}]: {line}",
        )
