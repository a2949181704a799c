"""Finds the way onto a board: by what is named, what the system tells of it, what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firmshake import firmware, flash
from firmshake.boards import discover, drives, ports
from firmshake.boards.drivefiles import parse_boot_out, parse_info
from firmshake.boards.row import Row
from firmshake.boards.table import BOARDS, MICROPYTHON, Board, by_chip
from firmshake.errors import Error
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
    for some where none was. `console` is the serial port of a board whose drive is meant.
    """

    target: str | None = None
    via: str | None = None
    file: File | Firmware | None = None
    stored: Callable[[Board], File | None] = lambda board: None
    console: str | None = None
    baud: int = flash.BAUDS[0]

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


def choose(wish: Wish, watcher: Watcher) -> Way:
    """Return the way onto the board. Raises Error where there is no board, or no such way to it."""
    target = wish.target if wish.target is not None else _only()
    folder = Path(target)
    if folder.is_dir():
        return _by_drive(folder, wish)
    if wish.via == DRIVE:
        row = _row_of(target)
        if row is not None and row.drive:
            return _by_drive(Path(row.drive), wish, console=target)
        raise Error(f"no drive belongs to {target}", hint="name the folder where it is mounted")
    return _by_port(target, wish, watcher)


def _by_drive(folder: Path, wish: Wish, console: str | None = None) -> Way:
    found = drives.at(folder)
    info, boot = parse_info(found.info_uf2), parse_boot_out(found.boot_out)
    if boot is not None and wish.via in (None, DRIVE):
        return Drive(folder, boot, wish.console or console or _console_of(str(folder)))
    if boot is not None and wish.via == REPL:
        port = wish.console or _console_of(str(folder))
        if port is None:
            raise Error(
                f"which serial port the board of {folder} has can't be told", hint="name its PORT"
            )
        return Repl(port, asked(port))
    if info is not None and wish.via in (None, UF2):
        board = _rp2(info.board_id)
        file = wish.file if isinstance(wish.file, File) else wish.stored(board)
        return Uf2(folder, info, board, file, wish.console)
    what = "no board's drive" if info is None and boot is None else f"no drive for --via {wish.via}"
    raise Error(
        f"{folder} is {what}",
        hint="firmshake boards shows what is plugged in; a folder is a board's drive where it has"
        " INFO_UF2.TXT or boot_out.txt",
    )


def _by_port(port: str, wish: Wish, watcher: Watcher) -> Way:
    if wish.via == UF2:
        raise Error(f"{port} is no drive", hint="name the folder where the drive is mounted")
    answer = None if wish.via == ESPTOOL else _answer(port, wish, watcher)
    if answer is not None and (wish.via == REPL or not _is_for_esptool(answer)):
        row = _row_of(port) if wish.via is None else None
        if row is not None and row.drive and answer.running.runtime != MICROPYTHON:
            # the computer has the drive, so that the board's own program may not write to it
            return _by_drive(Path(row.drive), wish, console=port)
        return Repl(port, answer)
    held = answer.held if answer is not None else None
    named = wish.file is not None
    return Esptool(port, watcher, wish.for_chip, baud=wish.baud, held=held, named=named)


def _answer(port: str, wish: Wish, watcher: Watcher) -> Answer | None:
    """What the board says at its REPL; None where it says nothing."""
    watcher.begin(f"asking the board on {port}")
    try:
        return asked(port)
    except NoRepl:
        if wish.via == REPL:
            raise
        return None


def _is_for_esptool(answer: Answer) -> bool:
    """MicroPython on an ESP: its filesystem goes whole, and faster, through the boot loader."""
    running = answer.running
    return running.runtime == MICROPYTHON and running.platform == "esp32"


def _rows() -> list[Row]:
    return discover.rows(ports.attached(), drives.attached())


def _only() -> str:
    """The port or drive of the only board that is plugged in."""
    found = [row for row in _rows() if row.ports or row.drive]
    names = [row.drive if row.state == "uf2" else next(iter(row.ports), row.drive) for row in found]
    if len(found) == 1:
        return names[0]
    if found:
        raise Error(
            f"several boards may be meant: {', '.join(sorted(names))}",
            "name one of them as PORT",
            status=2,
        )
    raise Error(
        "no board is plugged in",
        "name its port, or use --virtual to try things out without one",
        status=2,
    )


def _row_of(port: str) -> Row | None:
    return next((row for row in _rows() if port in row.ports), None)


def _console_of(folder: str) -> str | None:
    row = next((row for row in _rows() if row.drive == folder), None)
    return row.ports[0] if row is not None and row.ports else None


def _rp2(board_id: str) -> Board:
    """The board of the table behind a boot loader's drive."""
    for board in BOARDS:
        if board.bootloader_drive and board.bootloader_drive == board_id:
            return board
    known = ", ".join(board.title for board in BOARDS if board.bootloader_drive)
    raise Error(f"the boot loader of {board_id!r} is not known", hint=f"known are: {known}")
