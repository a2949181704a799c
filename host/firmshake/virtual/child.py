"""The real MicroPython as the board's processor: one child process on a pseudo-terminal.

The child inherits three descriptors and knows no path of this computer's: the flash, the file that
holds its clock, and a pipe with its settings. It leads a session whose terminal is the pty, so that
it dies by hang-up with this process, in whatever way that ends; on Linux it also asks the kernel to
end it with the thread that started it. Its environment is empty but for what it needs.

CircuitPython's shape, which is CPython, is started the same way, but has a folder for a flash.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import termios
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from firmshake.virtual.clock import Clock
from firmshake.virtual.nor import Flash
from firmshake.virtual.terminal import Terminal, settle

BOARD = Path(__file__).parent / "board"
# How the program in board/ ends when the board is to start again
SOFT_RESET = 64
SOFT_RESET_RAW = 65
HARD_RESET = 66
BOOTLOADER = 67
# MicroPython leaves by this status on a second Ctrl-C that comes before the first is noticed
_TWO_CTRL_C = 1


class Mode(Enum):
    """What the program does first."""

    SCRIPTS = "scripts"
    RAW = "raw"
    INTERRUPTED = "interrupted"


class End(Enum):
    """Why it ended."""

    SOFT_RESET = "soft reset"
    HARD_RESET = "machine.reset()"
    BOOTLOADER = "machine.bootloader()"
    CRASH = "crash"


@dataclass(frozen=True)
class Program:
    """How to start the interpreter, up to its last argument, and what the board is told."""

    command: Sequence[str]
    settings: dict[str, Any] = field(repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)


def micropython(command: Sequence[str], heap: str, settings: dict[str, Any]) -> Program:
    """MicroPython with the board's own modules; `heap` is as `-X heapsize` takes it."""
    started = [*command, "-X", f"heapsize={heap}", str(BOARD / "start.py")]
    return Program(started, settings)


class Child:
    """One run of the program, from start to end."""

    def __init__(
        self,
        program: Program,
        terminal: Terminal,
        flash: Flash | None,
        clock: Clock,
        mode: Mode,
        is_first: bool,
    ) -> None:
        # the start is not to be interrupted, before the program says that it may be
        terminal.reset()
        settings = {
            **program.settings,
            **clock.settings(),
            "mode": mode.value,
            "is_first": is_first,
            "flash": None if flash is None else flash.descriptor,
            "terminal": os.ttyname(terminal.slave),
            "isig": termios.ISIG,
            "host": os.getpid(),
        }
        told, tell = os.pipe()
        inherited = [told, *clock.descriptors()]
        if flash is not None:
            inherited.append(flash.descriptor)
        try:
            self._process = subprocess.Popen(
                [*program.command, str(told)],
                stdin=terminal.slave,
                stdout=terminal.slave,
                stderr=terminal.slave,
                pass_fds=inherited,
                env={"TZ": "UTC0", **clock.environment(), **program.environment},
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(told)
            with contextlib.suppress(BrokenPipeError), os.fdopen(tell, "w") as file:
                json.dump(settings, file)

    async def ended(self) -> Mode | End:
        """Wait for the end: how the program goes on, or why it does not."""
        loop = asyncio.get_running_loop()
        status: asyncio.Future[int] = loop.create_future()

        def wait() -> None:
            number = self._process.wait()
            with contextlib.suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(settle, status, number)

        # not a thread of a pool: Python waits for those when it exits
        threading.Thread(target=wait, name="wait for MicroPython", daemon=True).start()
        return _ENDS.get(await status, End.CRASH)

    def kill(self) -> None:
        """End it now, and leave no zombie."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()


_ENDS: dict[int, Mode | End] = {
    SOFT_RESET: Mode.SCRIPTS,
    SOFT_RESET_RAW: Mode.RAW,
    HARD_RESET: End.HARD_RESET,
    BOOTLOADER: End.BOOTLOADER,
    _TWO_CTRL_C: Mode.INTERRUPTED,
    -signal.SIGINT: Mode.INTERRUPTED,
}


class Computer:
    """MicroPython on its terminal, from the board's start through its soft resets."""

    def __init__(self, program: Program, flash: Flash | None, clock: Clock) -> None:
        self.terminal = Terminal()
        self._program = program
        self._flash = flash
        self._clock = clock
        self._child: Child | None = None

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> End:
        """Run, with all output to `send`, until the board starts anew: why it does."""
        mode: Mode | End = Mode.SCRIPTS
        is_first = True
        while isinstance(mode, Mode):
            child = self._child = Child(
                self._program, self.terminal, self._flash, self._clock, mode, is_first
            )
            is_first = False
            reading = asyncio.ensure_future(self._forward(send))
            try:
                mode = await child.ended()
            finally:
                reading.cancel()
            await asyncio.wait([reading])
            await send(self.terminal.rest())
        return mode

    async def _forward(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        while True:
            await send(await self.terminal.read())

    def stop(self) -> None:
        """End the program, wherever it is, and hang up. Again is allowed."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        self.terminal.close()
