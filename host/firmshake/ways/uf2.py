"""Through the drive of a Pico's boot loader: firmware and filesystem as one UF2 file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from firmshake import image, uf2
from firmshake.boards import bench, discover, drives, ports
from firmshake.boards.drivefiles import INFO_UF2, Info
from firmshake.boards.table import MICROPYTHON, Board, Runtime, filesystem_region
from firmshake.errors import Error
from firmshake.firmwares import identify
from firmshake.firmwares.identify import File
from firmshake.listen import Port
from firmshake.ways import repl
from firmshake.ways.way import Files, Held, Seen, Watcher

# The ROM writes a megabyte in some seconds, then the drive goes and the serial port comes
_GONE_S = 20.0
_BACK_S = 30.0
_POLL_S = 0.1
_CHUNK = 64 << 10
_NAME = "firmshake.uf2"
_FORGET = "forget.uf2"


class Uf2:
    """A Pico that shows its boot loader's drive in the folder `drive`.

    `console` is the serial port that it will have then, where it can't be found by its USB numbers.
    """

    name = "uf2"
    runtime: Runtime = MICROPYTHON

    def __init__(
        self, drive: Path, info: Info, board: Board, firmware: File | None, console: str | None
    ) -> None:
        self._drive, self._board, self._firmware = drive, board, firmware
        self._console = console
        self._plug = _plug(drive)
        self._before = _consoles(self._plug)
        self._content = b""
        self._files: Files = {}
        version = firmware.version if firmware else None
        self.seen = Seen(f"{info.model}, its boot loader's drive", board.chip, None, version)

    def intends(self) -> str:
        """Raises Error where there is no firmware for the board, or one for another."""
        file = self._firmware
        if file is None or file.form != ".uf2":
            raise Error(
                f"a {self._board.title} in its boot loader needs MicroPython as a .uf2 file",
                hint=f"firmshake firmware fetch {self._board.name} gets it; or --firmware FILE",
            )
        identify.check_board(file, self._board)
        if file.runtime != MICROPYTHON:
            raise Error(
                f"{file.title} goes onto the drive by itself",
                hint="copy it there; then its CIRCUITPY drive appears, which firmshake provisions",
            )
        return f"it will get {file.title} and its filesystem, as one UF2 file"

    def held(self) -> Held | None:
        return None  # the boot loader tells nothing of the flash

    def prepare(self, files: Files) -> str:
        assert self._firmware is not None
        board = self._board
        region = filesystem_region(board, MICROPYTHON, board.flash_sizes[0])
        built = image.build(files, region.block_count, board.littlefs)
        assert board.flash_address is not None
        runs = built.at(board.flash_address + region.offset)
        self._content = uf2.merge(uf2.parse(self._firmware.data), runs, board.uf2_family)
        self._files = files
        size = len(self._content) // 2 >> 10
        return f"built firmware and filesystem: {len(files)} files, {size} KiB have to travel"

    def write(self, watcher: Watcher) -> None:
        started = time.monotonic()
        watcher.begin("copying to its drive")
        # what is left of a copy that broke off must not be taken for a part of this one
        _copy(self._drive / _FORGET, uf2.forget(self._board.uf2_family), lambda done, total: None)
        _copy(self._drive / _NAME, self._content, watcher.writing)
        watcher.begin("waiting for it to restart")
        _wait_until_gone(self._drive)
        port = self._found()
        watcher.begin("reading back")
        self._read_back(port)
        took = time.monotonic() - started
        watcher.step(f"copied to its drive and read back over {port} in {took:.1f} s")

    @contextlib.contextmanager
    def heard(self, watcher: Watcher) -> Iterator[Port]:
        with repl.restarted(self._found()) as opened:
            watcher.step("started it; following its serial line")
            yield opened

    def left_alone(self) -> None:
        """It waits in its boot loader, as before."""

    def _found(self) -> str:
        """The serial port on which the board came back."""
        ends = time.monotonic() + _BACK_S
        while self._console is None:
            _check_taken(self._drive)
            new = sorted(_consoles(self._plug) - self._before)
            if len(new) == 1:
                self._console = new[0]
            elif time.monotonic() > ends:
                raise Error(
                    "the board was written, and does not come back as a serial port",
                    hint="unplug it and plug it in again, then name its port: firmshake provision"
                    " PORT",
                )
            else:
                time.sleep(_POLL_S)
        return self._console

    def _asked_when_up(self, port: str) -> repl.Answer:
        """Ask a board that is starting: its port may come a moment before its prompt."""
        ends = time.monotonic() + _BACK_S
        while True:
            try:
                return repl.asked(port)
            except Error as error:
                _check_taken(self._drive)
                if time.monotonic() > ends:
                    raise Error(
                        f"the board was written, and does not answer: {error.message}",
                        hint="plug it in again: if its drive comes back, run the same command"
                        " again; if not, name its serial port: firmshake provision PORT",
                    ) from None
                time.sleep(_POLL_S)

    def _read_back(self, port: str) -> None:
        answer = self._asked_when_up(port)
        self.seen = Seen(
            self.seen.title,
            self.seen.chip,
            answer.running.unique_id,
            answer.running.version,
        )
        for path, data in self._files.items():
            if answer.held.digests.get(path) != hashlib.sha256(data).digest():
                raise Error(
                    f"{path} on the board on {port} is not what was sent",
                    hint="check that this is the port of the board that was a drive, and run the"
                    " same command again; if that stays so, its flash may be worn",
                )


def _check_taken(drive: Path) -> None:
    """Raise Error where the board is in its boot loader again: it has no firmware that starts."""
    if (drive / INFO_UF2).exists():
        raise Error(
            f"the board came back as the drive {drive}: it does not start what it was sent",
            hint="run the same command again; if that stays so, try other firmware or another"
            " cable",
        )


def _plug(drive: Path) -> str:
    """Where on USB the drive is plugged in, empty where that can't be told."""
    rows = discover.rows([], [*drives.attached(), *bench.announced_drives()])
    known = (row.location for row in rows if row.drive and Path(row.drive) == drive.absolute())
    return next(known, "")


def _consoles(plug: str) -> set[str]:
    """The serial ports that are known to be MicroPython's, at that plug if it is known.

    Else another Pico that comes at the same time could be taken for this one.
    """
    rows = discover.rows([*ports.attached(), *bench.announced()], [])
    found = [row for row in rows if row.state == "micropython" and plug in ("", row.location)]
    return {port for row in found for port in row.ports}


def _copy(path: Path, content: bytes, progress: Callable[[int, int], None]) -> None:
    """Write a file to the drive, which goes away as soon as it has the last block."""
    done = 0
    try:
        with path.open("wb", buffering=0) as stream:
            while done < len(content):
                done += stream.write(content[done : done + _CHUNK])
                progress(done, len(content))
                if done < len(content) and not path.exists():
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            os.fsync(stream.fileno())
    except OSError as error:
        if done < len(content) or path.parent.exists():
            if not path.parent.exists():
                raise _gone(path.parent) from None
            raise Error(
                f"can't write to the drive {path.parent}: {(error.strerror or '').lower()}",
                hint="hold BOOTSEL while you plug the board in, then run the same command again",
            ) from None


def _gone(drive: Path) -> Error:
    return Error(
        f"the drive {drive} went away",
        hint="hold BOOTSEL while you plug the board in again, then run the same command again: it"
        " starts over",
    )


def _wait_until_gone(drive: Path) -> None:
    ends = time.monotonic() + _GONE_S
    while any((drive / name).exists() for name in (INFO_UF2, _NAME)):
        if time.monotonic() > ends:
            raise Error(
                f"the board did not take the file on {drive}",
                hint="unplug it, hold BOOTSEL while you plug it in, and run the same command again",
            )
        time.sleep(_POLL_S)
