"""Through the drive of a Pico's boot loader: firmware and filesystem as one UF2 file."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from firmshake import image, uf2
from firmshake.boards.drivefiles import Info
from firmshake.boards.table import MICROPYTHON, Board, Runtime, filesystem_region
from firmshake.errors import Error
from firmshake.firmwares import identify
from firmshake.firmwares.identify import File
from firmshake.listen import Port
from firmshake.ways import repl
from firmshake.ways.bootdrive import BootDrive
from firmshake.ways.way import Files, Held, Seen, Watcher


class Uf2:
    """A Pico that shows its boot loader's drive in the folder `drive`.

    `console` is the serial port that it will have then, where it can't be found by its USB numbers.
    """

    name = "uf2"
    runtime: Runtime = MICROPYTHON

    def __init__(
        self, drive: Path, info: Info, board: Board, firmware: File | None, console: str | None
    ) -> None:
        self._board, self._firmware = board, firmware
        self._console = console
        self._drive = BootDrive(drive, board.uf2_family)
        self._content = b""
        self._files: Files = {}
        version = firmware.version if firmware else None
        self.seen = Seen(f"{info.model}, its boot loader's drive", board.chip, None, version)

    def intends(self) -> str:
        """Raises Error where there is no firmware for the board, or one for another."""
        return f"it will get {self.firmware().title} and its filesystem, as one UF2 file"

    def firmware(self) -> File:
        """Return MicroPython for the board. Raises Error as `intends` does."""
        file = self._firmware
        if file is None or file.form != ".uf2":
            raise Error(
                f"a {self._board.title} in its boot loader needs MicroPython as a .uf2 file",
                hint=f"`firmshake firmware fetch {self._board.name}` gets it; a file that you have"
                " is taken by `firmshake firmware add FILE`",
            )
        identify.check_board(file, self._board)
        if file.runtime != MICROPYTHON:
            raise Error(
                f"{file.title} goes onto the drive by itself",
                hint="copy it there; then its CIRCUITPY drive appears, which firmshake provisions",
            )
        return file

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
        self._drive.take(self._content, watcher)
        port = self._found()
        watcher.begin("reading back")
        self._read_back(port)
        took = time.monotonic() - started
        watcher.step(f"copied to its drive and read back over {port} in {took:.1f} s")

    def write_firmware(self, watcher: Watcher) -> str | None:
        """Copy the firmware alone, and return the serial port at which the board answers then.

        None where nothing tells which one is this board's: one of those that have come.
        """
        drive = self._drive
        drive.take(self.firmware().data, watcher)
        if not drive.plug:
            drive.wait_until_back()
            return None
        port = drive.port()
        drive.answer(port)
        return port

    @contextlib.contextmanager
    def heard(self, watcher: Watcher) -> Iterator[Port]:
        with repl.restarted(self._found()) as opened:
            watcher.step("started it; following its serial line")
            yield opened

    def left_alone(self) -> None:
        """It waits in its boot loader, as before."""

    def _found(self) -> str:
        """The serial port on which the board came back."""
        if self._console is None:
            self._console = self._drive.port()
        return self._console

    def _read_back(self, port: str) -> None:
        answer = self._drive.answer(port)
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
