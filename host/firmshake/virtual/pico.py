"""A virtual Pico W or Pico 2 W: a drive that takes UF2, and the real MicroPython on a serial port.

What runs is the computer's MicroPython, whatever program the UF2 file holds; of that, only the
banner counts. The drive is a folder (see `drive`), its serial port RFC 2217: there is no USB, no
reset by DTR and RTS, and no speed of a line but USB's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firmshake import tools
from firmshake.errors import Error
from firmshake.virtual import nor, rp2
from firmshake.virtual.blocks import BLOCK, Taking
from firmshake.virtual.body import Body
from firmshake.virtual.child import Computer, End, Program, micropython
from firmshake.virtual.chip import CRASH_S, Uart
from firmshake.virtual.clock import Clock
from firmshake.virtual.devkit import Wifi
from firmshake.virtual.drive import POLL_S, Drive
from firmshake.virtual.fault import NONE, Faults
from firmshake.virtual.line import USB_BAUD
from firmshake.virtual.pace import Pace

# Where the clock of MicroPython's rp2 port starts
RP2_EPOCH = datetime(2021, 1, 1, tzinfo=UTC)
DEFAULT_ID = bytes.fromhex("e6 61 4c 31 1b 45 92 2a")
DEFAULT_MAC = bytes.fromhex("28 cd c1 12 34 56")
_PWRON_RESET, _WDT_RESET = 1, 3
# Between leaving the bus and coming back to it
_ENUMERATE_S = 0.1
_INDEX = b"<html><body>This drive is a virtual board of firmshake.</body></html>\r\n"


class VirtualPico(Body):
    """A Pico with power and a cable from `start` to `close`; a context manager does both.

    `board` is "pico-w" or "pico-2-w". `drive` is the folder that stands for its drive: absent or
    empty at first, made when the ROM shows it, and removed with all that is on it when the board
    restarts or is unplugged. `flash` is a file to keep its flash in. A new flash is blank, as from
    the factory, or with `blank` False has a stand-in for MicroPython. `held` is the button BOOTSEL.
    For the rest see VirtualBoard. Raises Error where something of it cannot be had.
    """

    def __init__(
        self,
        *,
        drive: Path,
        board: str = "pico-w",
        port: int = 0,
        flash: Path | None = None,
        blank: bool = True,
        unique_id: bytes = DEFAULT_ID,
        mac: bytes = DEFAULT_MAC,
        wifi: Wifi | None = None,
        clock: datetime | None = RP2_EPOCH,
        heap: str | None = None,
        held: bool = False,
        faster_than_life: bool = False,
        faults: Faults = NONE,
        replug_after_s: float | None = None,
    ) -> None:
        super().__init__(
            port, None, lambda: Pace(faster_than_life, faults.slow), faults, replug_after_s
        )
        self.is_usb = True
        self.model = _model(board)
        self.drive = Drive(drive, faults)
        self._unique_id = unique_id
        self._mac = mac
        self._wifi = wifi or Wifi()
        self._held = held
        self._is_cut_off = False
        self._run_task: asyncio.Task[None] | None = None
        self._computer: Computer | None = None
        self._command = tools.micropython()
        self._heap = heap or self.model.heap
        library = tools.faketime() if clock is not None else None
        self.has_own_clock = library is not None
        self.flash = _flash(self.model, flash, blank)
        self._clock = Clock(clock, library)

    # what others see

    @property
    def unique_id(self) -> str:
        """As `machine.unique_id().hex()` and the USB serial number tell it."""
        return self._unique_id.hex()

    @property
    def is_drive(self) -> bool:
        """Whether it is a drive now, and no serial port."""
        return self.drive.is_shown

    @property
    def baud(self) -> int:
        """USB has one speed."""
        return USB_BAUD

    # what hands do

    def hold_bootsel(self, held: bool = True) -> None:
        """Hold the button, or let it go: while it is held, the board starts as a drive."""
        self._held = held

    # on the board's own thread

    def _assemble(self) -> None:
        self._uart = Uart(self._pace())
        self._uart.baud = USB_BAUD
        self._sending = asyncio.get_running_loop().create_task(self._uart.run())

    async def _power_on(self) -> None:
        self._clock.start()
        if self._starts():
            await self._show_port()
        else:
            self._show_drive()
        self._run_task = asyncio.get_running_loop().create_task(self._work())
        self._run_task.add_done_callback(self._report)

    def _power_off(self) -> None:
        if self._run_task is not None:
            self._run_task.cancel()
            self._run_task = None
        self._stop()
        self.drive.hide()

    def _put_away(self) -> None:
        self.drive.hide()
        self.flash.close()
        self._clock.close()

    def _take(self, data: bytes, baud: int) -> None:
        if self._computer is not None and not self.faults.dead_repl:
            self._computer.terminal.write(data)

    def listen(self, listener: Callable[[bytes, int], None] | None) -> None:
        """Who gets the board's output; of the port, not for callers."""
        self._uart.listener = listener

    def _starts(self) -> bool:
        # a flash that was written in part may hold anything
        return not (self._held or self._is_cut_off) and rp2.starts(self.model, self.flash)

    async def _work(self) -> None:
        cause = _PWRON_RESET
        wants_drive = self.drive.is_shown
        while True:
            if wants_drive or not self._starts():
                await self._be_a_drive()
                cause = _PWRON_RESET
            await self._show_port()
            if rp2.micropython_version(self.model, self.flash):
                wants_drive = await self._micropython(cause)
            else:
                # some other program, which has no USB here
                self._hide_port()
                await asyncio.Event().wait()
            cause = _WDT_RESET
            self._hide_port()
            await asyncio.sleep(_ENUMERATE_S)

    # the drive

    def _show_drive(self) -> None:
        info = self.model.info.encode()
        self.drive.show({"INFO_UF2.TXT": info, "INDEX.HTM": _INDEX})

    async def _be_a_drive(self) -> None:
        """Until all blocks of a file have come."""
        if not self.drive.is_shown:
            self._show_drive()
        taking = Taking(self.flash, self.model.families)
        while not await self._take_files(taking):
            await asyncio.sleep(POLL_S)
        self._is_cut_off = False
        self.drive.hide()
        await asyncio.sleep(_ENUMERATE_S)

    async def _take_files(self, taking: Taking) -> bool:
        for path in self.drive.new_files():
            with contextlib.suppress(OSError):
                if await self._take_blocks(path.read_bytes(), taking):
                    return True
        return False

    async def _take_blocks(self, data: bytes, taking: Taking) -> bool:
        count = len(data) // BLOCK
        for number in range(count):
            if self._cut is not None and self._is_cut_at(number, count):
                self._is_cut_off = taking.written > 0
                self._lose_power()  # which cancels this task: it ends at the next wait
                await asyncio.sleep(0)
            if not number % 64:
                await asyncio.sleep(0)
            self._received += BLOCK
            if taking.take(data[number * BLOCK : (number + 1) * BLOCK]):
                return True
        return False

    def _is_cut_at(self, number: int, count: int) -> bool:
        assert self._cut is not None
        if self._cut.count is not None:
            return self._received + BLOCK > self._cut.count
        assert self._cut.share is not None
        return number >= int(count * self._cut.share)

    # MicroPython

    async def _micropython(self, cause: int) -> bool:
        """Run it, restarting, until it resets the board: whether into the drive."""
        computer = self._computer = Computer(self._program(cause), self.flash, self._clock)
        try:
            limit = CRASH_S if self.faults.reboot_loop else None
            end = await asyncio.wait_for(computer.run(self._uart.send), limit)
        except TimeoutError:
            return False
        finally:
            self._stop()
        return end is End.BOOTLOADER

    def _program(self, cause: int) -> Program:
        region = self.model.region
        settings: dict[str, Any] = {
            "start": region.offset,
            "size": region.size,
            "mac": list(self._mac),
            "unique_id": list(self._unique_id),
            "reset_cause": cause,
            "wifi": self._wifi.settings(),
            "platform": "rp2",
            "machine": self.model.machine,
        }
        return micropython(self._command, self._heap, settings)

    def _stop(self) -> None:
        if self._computer is not None:
            self._computer.stop()
            self._computer = None
        self._uart.clear()

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._failed(task.get_loop(), {"message": "the board failed", "exception": error})


def _model(board: str) -> rp2.Pico:
    try:
        return rp2.pico(board)
    except LookupError:
        known = ", ".join(model.name for model in rp2.PICOS)
        raise Error(f"there is no virtual {board}", hint=f"choose of {known}") from None


def _flash(model: rp2.Pico, path: Path | None, blank: bool) -> nor.Flash:
    size = model.flash_size
    flash, is_new = (nor.in_memory(size), True) if path is None else nor.in_file(path, size)
    if is_new and not blank:
        flash.program(0, rp2.standin(model))
    return flash
