"""A virtual board with CircuitPython: a drive or none, and the REPL on a serial port.

What runs code.py is CPython in CircuitPython's shape: see `circuitpython` for what that imitates.
The drive is a folder (see `drive`); without one, the board's files can only be had over the REPL.
Not imitated: a boot loader, safe mode, the web workflow.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from firmshake.boards import table
from firmshake.boards.table import CIRCUITPYTHON, Board
from firmshake.errors import Error
from firmshake.virtual.body import Body
from firmshake.virtual.child import Computer, End, Program
from firmshake.virtual.chip import CRASH_S, Uart
from firmshake.virtual.clock import Clock
from firmshake.virtual.devkit import DEFAULT_MAC, Wifi
from firmshake.virtual.drive import POLL_S, Drive
from firmshake.virtual.fault import NONE, Faults
from firmshake.virtual.line import USB_BAUD
from firmshake.virtual.pace import Pace
from firmshake.virtual.pico import DEFAULT_ID

_START = Path(__file__).parent / "circuitpython" / "start.py"
BAUD = 115200
_ENUMERATE_S = 0.1
_WATCHDOG_S = 0.5
_VERSION = "9.2.1"
_CHIPS = {"RP2040": "rp2040", "RP2350": "rp2350a"}
# Chips with USB of their own, which can show a drive
_WITH_USB = frozenset({"ESP32-S2", "ESP32-S3", "RP2040", "RP2350"})

FRESH: Mapping[str, bytes] = {
    "code.py": b'print("Hello World!")\n',
    "settings.toml": b"",
    "lib/.keep": b"",
}


class VirtualCircuitPython(Body):
    """A board with CircuitPython; power and cable from `start` to `close`, as a context too.

    `board` is a name of the table of boards. `drive` is the folder that stands for CIRCUITPY:
    absent or empty at first, gone while the board is unplugged, and removed at the end; None for a
    board without. `files` lie on it at first, by path without the leading slash. `unique_id` is
    the chip's number: eight bytes on a Pico, else the base address, six. Raises Error where the
    board is unknown or can have no drive, or the folder or a port cannot be had.
    """

    def __init__(
        self,
        *,
        drive: Path | None = None,
        board: str = "pico-2-w",
        port: int = 0,
        files: Mapping[str, bytes] = FRESH,
        unique_id: bytes | None = None,
        wifi: Wifi | None = None,
        faster_than_life: bool = False,
        faults: Faults = NONE,
        replug_after_s: float | None = None,
    ) -> None:
        super().__init__(
            port, None, lambda: Pace(faster_than_life, faults.slow), faults, replug_after_s
        )
        self.board = table.by_name(board)
        if drive is not None and self.board.chip not in _WITH_USB:
            raise Error(
                f"an {self.board.title} has no USB of its own, and shows no drive",
                hint="leave out the drive: its files are had over the REPL",
            )
        if faults.unplug_at is not None and faults.unplug_at.share is not None:
            raise Error(
                "what a whole copy to CircuitPython comes to is not known beforehand",
                hint="say after how many bytes it is to be unplugged",
            )
        # an ESP32 without USB has an adapter, with a speed
        self.is_usb = self.board.chip in _WITH_USB
        self.drive = None if drive is None else Drive(drive, faults)
        default = DEFAULT_ID if self.board.family == "rp2" else DEFAULT_MAC
        self._unique_id = unique_id or default
        self._wifi = wifi or Wifi()
        self._clock = Clock(None, None)
        self._task: asyncio.Task[None] | None = None
        self._computer: Computer | None = None
        self._before: dict[Path, tuple[int, int]] = {}
        # what is in its flash while nobody sees it
        self._store = Path(tempfile.mkdtemp(prefix="firmshake-circuitpython-"))
        self._flash = self._store / "flash"
        _write(self._flash, files)

    # what others see

    @property
    def root(self) -> Path:
        """Where its files are now."""
        return self._flash if self.drive is None or not self.drive.is_shown else self.drive.folder

    @property
    def unique_id(self) -> str:
        """The number of its chip, in hexadecimal."""
        return self._unique_id.hex()

    @property
    def uid(self) -> str:
        """The same as CircuitPython prints it: on an ESP32 the digits of each byte are swapped."""
        return self._uid().hex().upper()

    @property
    def machine(self) -> str:
        """What its banner says."""
        chip = self.board.chip
        return f"{self.board.title} with {_CHIPS.get(chip, chip.replace('-', ''))}"

    @property
    def baud(self) -> int:
        """USB has one speed."""
        return self._uart.baud

    # what hands do

    def press_reset(self) -> None:
        """Press the button and let it go."""
        self._do(self._restart)

    # on the board's own thread

    def _assemble(self) -> None:
        self._uart = Uart(self._pace())
        self._uart.baud = USB_BAUD if self.is_usb else BAUD
        self._sending = asyncio.get_running_loop().create_task(self._uart.run())

    async def _power_on(self) -> None:
        if self.drive is not None:
            self.drive.show(_read(self._flash) | {"boot_out.txt": self._boot_out()})
            self._before = _sights(self.drive.folder)
        await self._show_port()
        self._restart()

    def _restart(self) -> None:
        self._stop()
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._work())
        self._task.add_done_callback(self._report)

    def _power_off(self) -> None:
        self._stop()
        if self.drive is not None and self.drive.is_shown:
            _replace(self._flash, _read(self.drive.folder))
            self.drive.hide()

    def _put_away(self) -> None:
        if self.drive is not None:
            self.drive.hide()
        self._clock.close()
        shutil.rmtree(self._store, ignore_errors=True)

    def _take(self, data: bytes, baud: int) -> None:
        if self._computer is not None and not self.faults.dead_repl:
            self._computer.terminal.write(data)

    def listen(self, listener: Callable[[bytes, int], None] | None) -> None:
        """Who gets the board's output; of the port, not for callers."""
        self._uart.listener = listener

    async def _work(self) -> None:
        watching = asyncio.ensure_future(self._watch())
        try:
            while True:
                await self._run_once()
                if self.is_usb:
                    self._hide_port()
                    await asyncio.sleep(_ENUMERATE_S)
                    await self._show_port()
        finally:
            watching.cancel()

    async def _run_once(self) -> None:
        """From a reset to the next."""
        computer = self._computer = Computer(self._program(), None, self._clock)
        try:
            limit = CRASH_S if self.faults.reboot_loop else None
            if await asyncio.wait_for(computer.run(self._uart.send), limit) is End.CRASH:
                await asyncio.sleep(_WATCHDOG_S)
        except TimeoutError:
            pass
        finally:
            self._end()

    def _program(self) -> Program:
        chip = self.board.chip
        settings: dict[str, Any] = {
            "root": str(self.root),
            "state": str(self._store / "state"),
            "has_drive": self.drive is not None,
            "is_full": self.faults.drive_is_full,
            "is_read_only": self.faults.drive_is_read_only,
            "capacity": _capacity(self.board),
            "uid": list(self._uid()),
            "wifi": self._wifi.settings(),
            "platform": chip if self.board.family == "rp2" else "Espressif",
            "machine": self.machine,
            "boot_out": self._lines(),
        }
        # -I, -S: nothing of this computer's Python but its library
        return Program([sys.executable, "-I", "-S", str(_START)], settings)

    def _uid(self) -> bytes:
        if self.board.family == "rp2":
            return self._unique_id
        return bytes(byte >> 4 | (byte & 0xF) << 4 for byte in self._unique_id)

    def _lines(self) -> list[str]:
        lines = [f"Board ID:{self.board.builds[CIRCUITPYTHON]}", f"UID:{self.uid}"]
        if self.board.family == "esp":
            lines.append(f"MAC:{self._unique_id.hex(':').upper()}")
        return lines

    def _boot_out(self) -> bytes:
        banner = f"Adafruit CircuitPython {_VERSION} on 2024-11-20; {self.machine}"
        return "".join(f"{line}\r\n" for line in [banner, *self._lines()]).encode()

    # the fault unplug-at, by what others write on the drive

    async def _watch(self) -> None:
        if self.drive is None or self._cut is None:
            return
        while self._cut is not None and self._cut.count is not None:
            changed = _changed(self.drive.folder, self._before)
            left = self._cut.count - self._received
            if sum(size for _, size in changed) >= left:
                for path, size in changed:
                    _truncate(path, size, left)
                    left -= min(size, left)
                self._lose_power()
            await asyncio.sleep(POLL_S)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._end()

    def _end(self) -> None:
        if self._computer is not None:
            self._computer.stop()
            self._computer = None
        self._uart.clear()

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._failed(task.get_loop(), {"message": "the board failed", "exception": error})


def _capacity(board: Board) -> int:
    """Of the board with the smallest flash that it comes with."""
    size = min(board.flash_sizes)
    return board.fat_regions[size].size


def _paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _read(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in _paths(folder):
        with contextlib.suppress(OSError):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _write(folder, files)


def _sights(folder: Path) -> dict[Path, tuple[int, int]]:
    found = {}
    for path in _paths(folder):
        with contextlib.suppress(OSError):
            status = path.stat()
            found[path] = status.st_mtime_ns, status.st_size
    return found


def _changed(folder: Path, before: dict[Path, tuple[int, int]]) -> list[tuple[Path, int]]:
    """What is new or another since then, with its size, in the order in which it was written."""
    now = _sights(folder)
    new = [(*sight, path) for path, sight in now.items() if before.get(path) != sight]
    return [(path, size) for _, size, path in sorted(new)]


def _truncate(path: Path, size: int, left: int) -> None:
    with contextlib.suppress(OSError):
        if left <= 0:
            path.unlink()
        elif left < size:
            with path.open("r+b") as file:
                file.truncate(left)
