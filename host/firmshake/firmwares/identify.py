"""What a firmware file is: chip, runtime, version and board, all from its own bytes. Does no I/O.

Both projects print a banner at their prompt: "MicroPython v1.26.1 on 2025-09-11; Generic ESP32
module with ESP32" and "Adafruit CircuitPython 9.2.1 on 2024-11-20; Raspberry Pi Pico W with
rp2040". CircuitPython's is one string in the file (py/makeversionhdr.py), MicroPython's is two
(shared/runtime/pyexec.c), of which the second begins with the semicolon.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from firmshake import firmware, uf2
from firmshake.boards import table
from firmshake.boards.table import CIRCUITPYTHON, MICROPYTHON, TITLES, Board, Runtime
from firmshake.errors import Error
from firmshake.firmwares import version as versions

# Bounded: they are searched for in megabytes that anybody may have written
_DATED = rb" (v?\d[\w.+-]{2,60}) on \d{4}-\d\d-\d\d"
_BANNERS: tuple[tuple[Runtime, re.Pattern[bytes]], ...] = (
    (CIRCUITPYTHON, re.compile(rb"Adafruit CircuitPython" + _DATED)),
    (MICROPYTHON, re.compile(rb"\bMicroPython" + _DATED)),
)
_MACHINE = re.compile(rb"; ([ -~]{1,80} with [\w -]{1,30})[\0\r\n]")

_WHERE = "get the file for your board again; `firmshake firmware fetch BOARD` does it"


@dataclass(frozen=True)
class File:
    """A firmware file that is whole.

    `form` is how its name ends: ".bin" goes through esptool (`firmware.identify` says where to),
    ".uf2" to a drive. `machine` is the board as the firmware calls it, and its chip.
    """

    chip: str
    runtime: Runtime
    version: str
    machine: str
    form: str
    sha256: str
    data: bytes = field(repr=False)

    @property
    def title(self) -> str:
        """Runtime and version in words."""
        return f"{TITLES[self.runtime]} {self.version}"


def identify(data: bytes) -> File:
    """Return what the file is. Raises Error where it is no whole firmware of either Python."""
    chip, content, form = _of_uf2(data) if uf2.is_one(data) else _of_bin(data)
    found = _banner(content)
    if found is None:
        raise Error("it is neither MicroPython nor CircuitPython", hint=_WHERE)
    runtime, version, machine = found
    return File(chip, runtime, version, machine, form, hashlib.sha256(data).hexdigest(), data)


def check_board(file: File, board: Board) -> None:
    """Raise Error where the firmware must not be written to this board."""
    if file.chip != board.chip:
        raise Error(
            f"{file.title} is for {file.chip}, and {board.title} has {board.chip}",
            hint=f"nothing was written; get firmware for {board.title}:"
            f" `firmshake firmware fetch {board.name}`",
        )
    if file.form != board.firmware_suffix:
        raise Error(
            f"{file.title} is there as {file.form}, and {board.title} takes {board.firmware_suffix}"
            " where it has no firmware",
            hint=f"nothing was written; `firmshake firmware fetch {board.name}` gets the right one",
        )
    if not fits(file, board):
        what = file.machine or "another board"
        raise Error(
            f"{file.title} is for {what}, not for {board.title}",
            hint=f"nothing was written; get firmware for {board.title}:"
            f" `firmshake firmware fetch {board.name}`",
        )


def fits(file: File, board: Board) -> bool:
    """Whether firmware is for this board, and of the form in which the board takes it whole."""
    named = not board.machine or _name(file.machine) == board.machine
    return file.chip == board.chip and named and file.form == board.firmware_suffix


def _name(machine: str) -> str:
    """The board's name in "Raspberry Pi Pico W with RP2040"."""
    return machine.rpartition(" with ")[0] or machine


def _of_bin(data: bytes) -> tuple[str, bytes, str]:
    found = firmware.identify(data)
    app = firmware.first_app(found.table)
    if found.offset + len(found.data) > app.end:
        raise Error(
            "it holds more than firmware: the image of a board's whole flash may hold its key",
            hint="get the .bin for installation from the project's download page",
        )
    return found.chip, found.data, ".bin"


def _of_uf2(data: bytes) -> tuple[str, bytes, str]:
    found = uf2.parse(data)
    if found.broken or found.rest:
        raise Error("it is damaged or cut off", hint=_WHERE)
    parts = [part for part in found.parts if part.family != uf2.ABSOLUTE]
    if not parts or any(part.missing or part.repeated or part.overlaps for part in parts):
        raise Error("it is damaged: blocks are missing or are there twice", hint=_WHERE)
    if len(parts) > 1:
        names = ", ".join(part.name for part in parts)
        raise Error(f"it is for several chips at once: {names}", hint=_WHERE)
    family = parts[0].family
    board = None if family is None else table.by_uf2_family(family)
    if board is None:
        raise Error(f"it is for a chip that is not known here ({parts[0].name})", hint=_WHERE)
    return board.chip, b"".join(run.data for run in parts[0].runs), ".uf2"


def _banner(content: bytes) -> tuple[Runtime, str, str] | None:
    """Runtime, version and board in the banner; None where there is none."""
    for runtime, pattern in _BANNERS:
        for found in pattern.finditer(content):
            version = found[1].decode("ascii")
            if versions.parse(version):
                machine = _MACHINE.match(content, found.end()) or _MACHINE.search(content)
                return runtime, version, machine[1].decode("ascii").strip() if machine else ""
    return None
