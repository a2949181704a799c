"""What a board's drive says of the board: INFO_UF2.TXT and CircuitPython's boot_out.txt.

Does no I/O.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from firmshake.boards.table import BOARDS, Board

INFO_UF2 = "INFO_UF2.TXT"
BOOT_OUT = "boot_out.txt"


class Info(NamedTuple):
    """A UF2 bootloader (github.com/microsoft/uf2, "Files exposed by bootloaders")."""

    bootloader: str
    model: str
    board_id: str


class BootOut(NamedTuple):
    """CircuitPython at its last start (main.c, run_boot_py); what is not said is empty."""

    version: str
    machine: str
    board_id: str
    uid: str
    mac: str


def parse_info(text: str) -> Info | None:
    """Return what INFO_UF2.TXT says; None where it is none."""
    first, _, _ = text.partition("\n")
    if "bootloader" not in first.lower():
        return None
    return Info(_plain(first), _field(text, "Model"), _field(text, "Board-ID"))


def parse_boot_out(text: str) -> BootOut | None:
    """Return what boot_out.txt says; None where it is none."""
    banner = re.match(r"Adafruit CircuitPython (\S{1,60}) on [^;\n]{1,40};([^\n]{0,200})", text)
    if banner is None:
        return None
    return BootOut(
        version=_plain(banner[1]),
        machine=_plain(banner[2]),
        board_id=_field(text, "Board ID"),
        uid=_field(text, "UID"),
        mac=_field(text, "MAC"),
    )


def chip_in(*texts: str) -> str | None:
    """Return the chip of the table that is named in one of the texts; "ESP32S3" is one spelling."""
    for text in texts:
        words = re.sub(r"[^A-Z0-9]", "", text.upper())
        for chip in _LONGEST_FIRST:
            if chip.replace("-", "") in words:
                return chip
    return None


def board_called(board_id: str, machine: str) -> Board | None:
    """Return the board that CircuitPython calls so; None where it is none of the table."""
    for board in BOARDS:
        named = board.machine and machine.rpartition(" with ")[0] == board.machine
        if named or board_id in board.builds.values():
            return board
    return None


# so that "ESP32-S3" is not taken for "ESP32"
_LONGEST_FIRST = sorted({board.chip for board in BOARDS}, key=len, reverse=True)


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}:[ \t]*([^\r\n]{{0,100}})", text, re.MULTILINE)
    return _plain(found[1]) if found else ""


def _plain(text: str) -> str:
    """It comes from a drive that anybody may have written: fit for a terminal."""
    return "".join(each for each in text if each.isprintable()).strip()
