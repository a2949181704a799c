"""The chip: reset, boot mode, bootloader, MicroPython, and the UART that they share.

One asyncio task is what the processor does, from one reset to the next; everything here runs on
one event loop. Whatever ends a run (reset, power) ends it at any point, with the flash as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from firmshake.virtual import rom
from firmshake.virtual.child import Computer, End, Program
from firmshake.virtual.clock import Clock
from firmshake.virtual.download import Die, Leave, Loader, Send, SetBaud
from firmshake.virtual.fault import Faults
from firmshake.virtual.models import Model
from firmshake.virtual.nor import Flash
from firmshake.virtual.pace import Pace, heard
from firmshake.virtual.registers import Registers
from firmshake.virtual.rom import Cause

# As the ROM's watchdog does with a chip that cannot boot
_WATCHDOG_S = 0.5
# How long firmware that crashes takes to do so
CRASH_S = 0.7
# What a program may print ahead of the line, as much as the UART's own buffer
_AHEAD = 128
_MACHINE_CAUSES = {Cause.POWER_ON: 1, Cause.SOFTWARE: 5, Cause.WATCHDOG: 3}

Listener = Callable[[bytes, int], None]


class Uart:
    """The sending side of the UART: a queue, emptied at the line's speed into `listener`."""

    def __init__(self, pace: Pace) -> None:
        self.baud = rom.BAUD
        self.listener: Listener | None = None
        self._pace = pace
        self._queue = bytearray()
        self._sending = 0
        self._filled, self._moved = asyncio.Event(), asyncio.Event()

    def clear(self) -> None:
        """Forget what has not left the chip."""
        self._queue.clear()

    async def send(self, data: bytes) -> None:
        """Queue bytes, and wait while there is more than the chip can hold."""
        self._queue += data
        self._filled.set()
        while len(self._queue) > _AHEAD:
            await self._moved.wait()

    async def sent(self) -> None:
        """Return when the last byte has arrived at the other end."""
        while self._queue or self._sending:
            await self._moved.wait()

    async def run(self) -> None:
        """Send, for ever."""
        while True:
            while self._queue:
                await self._send_piece()
            self._filled.clear()
            await self._filled.wait()

    async def _send_piece(self) -> None:
        piece = bytes(self._queue[: self._pace.piece(self.baud)])
        del self._queue[: len(piece)]
        self._sending, baud = len(piece), self.baud
        await self._pace.travel(len(piece), baud)
        if self.listener is not None:
            self.listener(piece, baud)
        self._sending = 0
        # whoever waits looks again
        self._moved.set()
        self._moved.clear()


class Chip:
    """A chip with its flash and its clock. `die` is called when a fault takes the power away."""

    def __init__(
        self,
        model: Model,
        flash: Flash,
        mac: bytes,
        clock: Clock,
        program: Callable[[dict[str, Any]], Program],
        pace: Pace,
        faults: Faults,
        die: Callable[[], None],
    ) -> None:
        self.uart = Uart(pace)
        self._model = model
        self._faults = faults
        self._die = die
        self._cut: float | None = None
        self._flash = flash
        self._mac = mac
        self._clock = clock
        self._program = program
        self._run: asyncio.Task[None] | None = None
        self._computer: Computer | None = None
        self._loader: Loader | None = None
        self._received: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()

    def start(self, download: bool, cut: float | None = None) -> None:
        """Leave reset, with this boot mode; the clock begins anew, as it does with power and EN.

        At a share of `cut` of a region that a tool writes, the power is to go.
        """
        self.halt()
        self._cut = cut
        self._clock.start()
        self._run = asyncio.get_running_loop().create_task(self._work(download))
        self._run.add_done_callback(_report)

    def halt(self) -> None:
        """Stop at once, as in reset or without power."""
        if self._run is not None:
            self._run.cancel()
            self._run = None
        if self._computer is not None:
            self._computer.stop()
            self._computer = None
        self._loader = None
        self._received = asyncio.Queue()
        self.uart.clear()

    def receive(self, data: bytes, baud: int) -> None:
        """Take bytes that arrived on the line at this speed."""
        if self._computer is not None:
            if not self._faults.dead_repl:
                self.uart.baud = self._computer.terminal.baud
                self._computer.terminal.write(heard(data, baud, self.uart.baud))
        elif self._loader is not None:
            self._received.put_nowait((data, baud))

    async def _work(self, download: bool) -> None:
        cause = Cause.POWER_ON
        while True:
            self.uart.baud = rom.BAUD
            await self.uart.send(rom.greeting(cause, download, self._model))
            if download and await self._download():
                # the tool asks for the application: boot as if GPIO0 had been high
                await self._boot(cause)
            elif not download:
                cause = await self._boot(cause)
                continue
            cause = Cause.SOFTWARE

    async def _download(self) -> bool:
        """Serve tools until they leave the bootloader: whether for the application."""
        told = self._faults.flash_size or self._flash.size
        registers = Registers(self._mac, told, self._model)
        loader = self._loader = Loader(self._flash, registers, self._cut)
        while True:
            data, baud = await self._received.get()
            # the ROM takes its speed from the first SYNC
            if not loader.synced:
                self.uart.baud = registers.baud = baud
            for action in loader.receive(heard(data, baud, self.uart.baud)):
                if isinstance(action, Send):
                    await self.uart.send(action.data)
                    continue
                if isinstance(action, Die):
                    # which cancels this task
                    self._die()
                    continue
                await self.uart.sent()
                if isinstance(action, SetBaud):
                    self.uart.baud = registers.baud = action.baud
                elif isinstance(action, Leave):
                    self._loader = None
                    return action.to_app

    async def _boot(self, cause: Cause) -> Cause:
        """Run what the flash holds; why the chip starts again."""
        found = rom.examine(self._flash, self._model)
        if isinstance(found, rom.Start):
            await self.uart.send(rom.loading(found))
            return await self._micropython(found, cause)
        await self.uart.send(rom.complaint(found))
        await asyncio.sleep(_WATCHDOG_S)
        return Cause.WATCHDOG

    async def _micropython(self, start: rom.Start, cause: Cause) -> Cause:
        program = self._program(
            {
                "start": start.region.offset,
                "size": start.region.size,
                "mac": list(self._mac),
                "unique_id": list(self._mac),
                "reset_cause": _MACHINE_CAUSES[cause],
            }
        )
        computer = self._computer = Computer(program, self._flash, self._clock)

        async def send(data: bytes) -> None:
            # machine.UART(0) changes the speed of the REPL's line
            self.uart.baud = computer.terminal.baud
            await self.uart.send(data)

        try:
            limit = CRASH_S if self._faults.reboot_loop else None
            end = await asyncio.wait_for(computer.run(send), limit)
        except TimeoutError:
            await self.uart.send(b"\r\nPanic: on request, by the fault reboot-loop\r\n")
            return Cause.SOFTWARE
        finally:
            computer.stop()
        if end is End.HARD_RESET:
            return Cause.SOFTWARE
        await self.uart.send(b"\r\nPanic: MicroPython ended unexpectedly\r\n")
        await asyncio.sleep(_WATCHDOG_S)
        return Cause.WATCHDOG


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        task.get_loop().call_exception_handler({"message": "the board failed", "exception": error})
