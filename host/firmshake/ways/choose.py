"""Finds the way onto a board: by what is named, what the system tells of it, what it answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from firmshake import firmware, flash, serialport
from firmshake.boards import drives, plugged
from firmshake.boards.drivefiles import parse_boot_out, parse_info
from firmshake.boards.row import Row
from firmshake.boards.table import BOARDS, MICROPYTHON, Board, by_chip
from firmshake.errors import Error
from firmshake.esptool_words import NoBootloader
from firmshake.firmware import Firmware
from firmshake.firmwares.identify import File
from firmshake.repl.entering import NoRepl
from firmshake.ways.drive import Drive
from firmshake.ways.esptool import Esptool
from firmshake.ways.repl import Answer, Repl, asked
from firmshake.ways.uf2 import Uf2
from firmshake.ways.way import Watcher, Way

ESPTOOL, REPL, UF2, DRIVE = NAMES = ("esptool", "repl", "uf2", "drive")


@dataclass(frozen=True)
class Wish:
    """What is asked for: `target` is a port or a drive's folder, None for the only board there is.

    `via` is one of NAMES, None for the best. `file` is firmware that was named, and `stored` looks
    for some where none was. `console` is the serial port of a board whose drive is meant. A port
    that `is_bare` has no drive beside it, as a look at all boards has told.
    """

    target: str | None = None
    via: str | None = None
    file: File | Firmware | None = None
    stored: Callable[[Board], File | None] = lambda board: None
    console: str | None = None
    baud: int = flash.BAUDS[0]
    is_bare: bool = False

    @property
    def circuitpython(self) -> str:
        """CircuitPython's version, where the firmware that was named is that."""
        file = self.file
        is_it = isinstance(file, File) and file.runtime != MICROPYTHON
        return file.version if isinstance(file, File) and is_it else ""

    def for_chip(self, chip: str) -> Firmware | None:
        """The firmware for esptool to write to a board with that chip, if it has none."""
        if isinstance(self.file, Firmware):
            return self.file
        file = self.file or self.stored(by_chip(chip))
        if file is None:
            return None
        if file.form != ".bin":
            raise Error(
                f"{file.title} is a {file.form} file, and esptool writes .bin",
                hint="get the .bin for this board: firmshake firmware fetch",
            )
        return firmware.identify(file.data)


class NoBoard(Error):
    """Something speaks on the port, and answers like no board to all that was tried.

    To try the same again is of no use before somebody has done something about it.
    """


def choose(wish: Wish, watcher: Watcher) -> Way:
    """Return the way onto the board. Raises Error where there is no board, or no such way to it."""
    target = wish.target if wish.target is not None else only(plugged.rows())
    if os.path.isdir(target):
        return _by_drive(Path(target), wish)
    row = _row_of(target) if wish.via in (None, DRIVE) and not wish.is_bare else None
    if row is not None and row.drive:
        # the computer has the drive, so that the board's own program may not write to it
        return _by_drive(Path(row.drive), wish, console=target)
    if wish.via in (DRIVE, UF2):
        raise Error(
            f"{target} is no drive, and --via {wish.via} needs one",
            hint="name the folder where the board's drive is mounted; `firmshake boards` shows it",
        )
    return _by_port(target, wish, watcher)


def only(rows: Iterable[Row]) -> str:
    """Return the port or drive of the only board there is. Raises Error on several, and on none.

    Does no I/O.
    """
    found = list(rows)
    names = [row.drive or next(iter(row.ports), "") or row.block_device for row in found]
    if len(found) > 1:
        raise Error(
            f"several boards may be meant: {', '.join(sorted(names))}",
            "name one of them as PORT",
            status=2,
        )
    if not found:
        raise Error(
            "no board is plugged in",
            "name its port, or use --virtual to try things out without one",
            status=2,
        )
    if not found[0].drive and not found[0].ports:
        raise Error(
            f"the drive of the board, {names[0]}, is not mounted",
            "mount it, and name the folder",
            status=2,
        )
    return names[0]


def _by_drive(folder: Path, wish: Wish, console: str | None = None) -> Way:
    found = drives.at(folder)
    info, boot = parse_info(found.info_uf2), parse_boot_out(found.boot_out)
    console = wish.console or console
    if info is None and boot is None:
        raise Error(
            f"{folder} is no board's drive",
            hint="firmshake boards shows what is plugged in; a folder is a board's drive where it"
            " has INFO_UF2.TXT or boot_out.txt",
        )
    if boot is not None and wish.via in (None, DRIVE):
        return Drive(folder, boot, console or _console_of(str(folder)), wish.file)
    if info is not None and wish.via in (None, UF2):
        board = _rp2(info.board_id)
        file = wish.file if wish.file is not None else wish.stored(board)
        if isinstance(file, Firmware):
            raise Error(
                f"the firmware is for {file.chip}, and {board.title} has {board.chip}",
                hint=f"nothing was written; get firmware for {board.title}:"
                f" `firmshake firmware fetch {board.name}`",
            )
        return Uf2(folder, info, board, file, wish.console)
    if boot is not None:
        what = "a CIRCUITPY drive"
        others = "--via drive; for --via repl, name the board's serial port"
    else:
        what, others = "the drive of a boot loader", "--via uf2"
    raise Error(
        f"{folder} is {what}, which is not for --via {wish.via}",
        hint=f"leave out --via, or {others}",
    )


def _by_port(port: str, wish: Wish, watcher: Watcher) -> Way:
    answer, silence = (None, None) if wish.via == ESPTOOL else _answer(port, wish, watcher)
    if answer is not None and (wish.via == REPL or not _is_for_esptool(answer)):
        return Repl(port, answer, wish.file)
    held = answer.held if answer is not None else None
    named = wish.file is not None
    try:
        return Esptool(
            port,
            watcher,
            wish.for_chip,
            baud=wish.baud,
            held=held,
            named=named,
            version=wish.circuitpython,
        )
    except NoBootloader:
        if silence is None:
            raise
        if silence.says:
            raise NoBoard(
                f"what is on {port} speaks, but is no board: {silence.says}",
                hint="unplug it, or name the ports of the boards; if it is an ESP32 with other"
                " firmware: hold BOOT, press and release RESET, release BOOT, then run the same"
                " command again",
            ) from None
        raise Error(
            f"{silence.message}, and no boot loader of an ESP32 answers there",
            hint="an ESP32: hold BOOT, press and release RESET, release BOOT, then run the same"
            " command; a Pico: hold BOOTSEL while you plug it in, and name the folder of its drive;"
            " a charge-only cable gives this too",
        ) from None


def _answer(port: str, wish: Wish, watcher: Watcher) -> tuple[Answer | None, NoRepl | None]:
    """What the board says at its REPL; where it says nothing, how that went.

    Raises Error where another way in would do no better.
    """
    watcher.begin(f"asking the board on {port}")
    try:
        return asked(port), None
    except NoRepl as silence:
        row = _row_of(port)
        is_esp = row is None or not row.chips or any(chip.startswith("ESP") for chip in row.chips)
        if wish.via == REPL or not is_esp or serialport.holder(port):
            raise
        return None, silence


def _is_for_esptool(answer: Answer) -> bool:
    """MicroPython on an ESP: its filesystem goes whole, and faster, through the boot loader."""
    running = answer.running
    return running.runtime == MICROPYTHON and running.platform == "esp32"


def _row_of(port: str) -> Row | None:
    return next((row for row in plugged.rows() if port in row.ports), None)


def _console_of(folder: str) -> str | None:
    row = next((row for row in plugged.rows() if row.drive == folder), None)
    return row.ports[0] if row is not None and row.ports else None


def _rp2(board_id: str) -> Board:
    """The board of the table behind a boot loader's drive."""
    for board in BOARDS:
        if board.bootloader_drive and board.bootloader_drive == board_id:
            return board
    known = ", ".join(board.title for board in BOARDS if board.bootloader_drive)
    raise Error(f"the boot loader of {board_id!r} is not known", hint=f"known are: {known}")
