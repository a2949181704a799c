"""Through esptool: an ESP32's filesystem, and its firmware where it has none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from firmshake import circuitpython, fatimage, flash, image, partitions, serialport
from firmshake.boards.table import (
    BOARDS,
    CIRCUITPYTHON,
    MICROPYTHON,
    Runtime,
    by_chip,
    filesystem_region,
)
from firmshake.errors import Error
from firmshake.event import Output
from firmshake.firmware import Firmware
from firmshake.image import Image, Run
from firmshake.listen import Port, listen
from firmshake.partitions import Region
from firmshake.reader import Reader
from firmshake.ways.way import Files, Held, Seen, Watcher, left_aside

# For somebody who has to find the board and its buttons first
PERSON_S = 120.0
# From the first word of what speaks there on: a person is at it by then, or it is no board
SPEAKS_S = 15.0

_LOOKS = "looking for its boot loader"

# The last words of every chip's ROM before it listens to esptool
_WAITS = "waiting for download"


class Esptool:
    """A board in its boot loader.

    `firmware` finds some for a chip; `named` says that it is a file of the user's. `held` is what
    the board said at its REPL before, if it did. `version` is CircuitPython's, where the
    firmware is that and not MicroPython.
    """

    name = "esptool"
    runtime: Runtime = MICROPYTHON

    def __init__(
        self,
        port: str,
        watcher: Watcher,
        firmware: Callable[[str], Firmware | None],
        *,
        baud: int = flash.BAUDS[0],
        held: Held | None = None,
        named: bool = False,
        version: str = "",
    ) -> None:
        self._held, self._named = held, named
        self._circuitpython = version
        if version:
            self.runtime = CIRCUITPYTHON
        self._find = firmware
        self._board = _probe(port, baud, watcher)
        self._image: Image | None = None
        self._firmware: Firmware | None = None
        self._region: Region | None = None
        board = self._board
        size = f"{board.flash_size >> 20} MB of flash"
        self.seen = Seen(f"{board.description}, {board.mac}, {size}", board.chip, board.mac)

    def intends(self) -> str:
        """Raises Error where there is no firmware for the board, or one for another."""
        board = self._board
        if self._circuitpython:
            return self._intends_circuitpython()
        if _runs_micropython(board):
            # what is kept for such boards is not asked for: this one needs none
            aside = left_aside(self._find(board.chip) if self._named else None, board.chip)
            assert board.table is not None
            self._region = partitions.filesystem_region(board.table, board.flash_size)
            return f"it runs MicroPython: that stays, its filesystem will be replaced{aside}"
        self._firmware, self._region = _plan(board, self._find(board.chip))
        self.seen = Seen(
            self.seen.title, self.seen.chip, self.seen.unique_id, self._firmware.micropython
        )
        return (
            f"it will get MicroPython {self._firmware.micropython} and its filesystem, in one run"
        )

    def _intends_circuitpython(self) -> str:
        board, version = self._board, self._circuitpython
        self._firmware = _checked(board, self._find(board.chip))
        row, table = by_chip(board.chip), self._firmware.table
        self._region = filesystem_region(row, CIRCUITPYTHON, board.flash_size, table)
        self.seen = Seen(self.seen.title, self.seen.chip, self.seen.unique_id, version)
        return f"it will get CircuitPython {version} and its filesystem, in one run"

    def held(self) -> Held | None:
        return self._held

    def prepare(self, files: Files) -> str:
        assert self._region is not None
        if self.runtime == CIRCUITPYTHON:
            users = circuitpython.beside_users(files, None, None)
            self._image = fatimage.build({**fatimage.KEPT_CLEAN, **users}, self._region.size)
        else:
            self._image = image.build(files, self._region.block_count)
        size = self._image.size >> 10
        runs = self._image.at(self._region.offset)
        return (
            f"built its filesystem: {len(files)} files, {_kib(runs)} of {size} KiB have to travel"
        )

    def write(self, watcher: Watcher) -> None:
        assert self._image is not None
        assert self._region is not None
        board, runs = self._board, list(self._image.at(self._region.offset))
        if self._firmware is not None:
            runs.insert(0, Run(self._firmware.offset, self._firmware.data))
        started = time.monotonic()
        watcher.begin("connecting to its boot loader")
        used = flash.write(board.port, runs, watcher.writing, baud=board.baud, chip=board.chip)
        took = time.monotonic() - started
        watcher.step(f"wrote {_kib(runs)} at {used} baud in {took:.1f} s, read back by its MD5")

    @contextlib.contextmanager
    def heard(self, watcher: Watcher) -> Iterator[Port]:
        # the port is open before the reset, so that the board's first line is not lost
        with serialport.open_port(self._board.port) as opened:
            try:
                serialport.reset(opened)
                watcher.step("reset it; following its serial line")
            except serialport.NoLines as error:
                watcher.please(error.hint)
            yield opened

    def left_alone(self) -> None:
        port = self._board.port
        with contextlib.suppress(Error, OSError), serialport.open_port(port) as opened:
            serialport.reset(opened)


def _probe(port: str, baud: int, watcher: Watcher) -> flash.Board:
    """The board on `port`; with a person's help where the port has no lines to reset it with."""
    watcher.begin(_LOOKS)
    try:
        return flash.probe(port, baud)
    except Error:
        if not port.startswith(serialport.LINELESS):
            raise
        with serialport.open_port(port) as opened:  # raises its own Error where nothing is there
            watcher.please("hold the board's BOOT button, press RESET, and let go of both")
            if not _waits_for_download(opened):
                raise
    watcher.begin(_LOOKS)
    return flash.probe(port, baud)


def _waits_for_download(port: Port) -> bool:
    """Whether the board says in time that it is in its boot loader."""
    last = ends = time.monotonic() + PERSON_S
    for items in listen(port, Reader()):
        if any(isinstance(item, Output) and _WAITS in item.text for item in items):
            return True
        if not all(isinstance(item, Output) for item in items):
            ends = last  # it is a board: it speaks as our agent does
        elif items:
            ends = min(ends, time.monotonic() + SPEAKS_S)
        if time.monotonic() > ends:
            break
    return False


def _runs_micropython(board: flash.Board) -> bool:
    return board.table is not None and board.app is not None and board.app.is_micropython


def _plan(board: flash.Board, found: Firmware | None) -> tuple[Firmware, Region]:
    """The firmware to write, and where the filesystem lies. Raises Error before a write."""
    firmware = _checked(board, found)
    return firmware, partitions.filesystem_region(firmware.table, board.flash_size)


def _checked(board: flash.Board, firmware: Firmware | None) -> Firmware:
    """The firmware, which is there and for this chip. Raises Error where it is not."""
    if firmware is None:
        what = "runs something else" if board.app is not None else "has no firmware"
        name = next((known.name for known in BOARDS if known.chip == board.chip), "")
        fetch = f"`firmshake firmware fetch {name}`, then run the same command again; or " * bool(
            name
        )
        raise Error(
            f"the board on {board.port} {what}, not MicroPython",
            hint=f"{fetch}get MicroPython 1.23 or later for {board.chip} and add --firmware FILE",
        )
    if firmware.chip != board.chip:
        raise Error(
            f"the firmware is for {firmware.chip}, the board on {board.port} is {board.chip}",
            hint=f"get the firmware for {board.chip}; nothing was written",
        )
    return firmware


def _kib(runs: list[Run]) -> str:
    return f"{sum(len(run.data) for run in runs) >> 10} KiB"
