"""The pseudo-terminal between the board's UART and its MicroPython."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import termios
import tty
from typing import TypeVar

_T = TypeVar("_T")

_CTRL_C = b"\x03"
# The speeds that a terminal can have, which is what the program sets as its UART's
_SPEEDS = {
    getattr(termios, f"B{baud}"): baud
    for baud in (9600, 57600, 115200, 230400, 460800, 500000, 921600, 1000000)
    if hasattr(termios, f"B{baud}")
}
# What is taken from the program in one go; the rest waits on the serial line
_READ = 1024


class Terminal:
    """The pty between the UART and the program; it outlives the program at a soft reset."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        os.set_blocking(self.master, False)
        self.is_open = True

    def reset(self) -> None:
        """Set it as a board's: lines end in CR LF, and Ctrl-C is a byte until a program runs."""
        tty.setraw(self.slave, termios.TCSANOW)
        mode = termios.tcgetattr(self.slave)
        mode[1] |= termios.OPOST | termios.ONLCR
        # an interrupt keeps what was typed before and after it
        mode[3] |= termios.NOFLSH
        for other in (termios.VQUIT, termios.VSUSP):
            mode[6][other] = b"\0"
        mode[6][termios.VINTR] = _CTRL_C
        mode[4] = mode[5] = termios.B115200
        termios.tcsetattr(self.slave, termios.TCSANOW, mode)

    @property
    def baud(self) -> int:
        """The speed that the program has set; 115200 after a reset."""
        if not self.is_open:
            return 115200
        return _SPEEDS.get(termios.tcgetattr(self.slave)[5], 115200)

    def close(self) -> None:
        """Hang up."""
        if self.is_open:
            self.is_open = False
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)
            os.close(self.slave)

    def write(self, data: bytes) -> None:
        """Pass on what was received; what finds no room is lost, as in a UART, but for Ctrl-C."""
        while data:
            try:
                data = data[os.write(self.master, data) :]
            except BlockingIOError:
                if _CTRL_C in data:
                    self._interrupt()
                return
            except OSError:
                return

    def _interrupt(self) -> None:
        if termios.tcgetattr(self.slave)[3] & termios.ISIG:
            group = os.tcgetpgrp(self.slave)
            if group > 1:
                os.killpg(group, signal.SIGINT)

    async def read(self) -> bytes:
        """What the program prints, as soon as there is some."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(self.master, _READ)
            except BlockingIOError:
                pass
            ready: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self.master, settle, ready, None)
            try:
                await ready
            finally:
                # once closed, the number may be another terminal's
                if self.is_open:
                    loop.remove_reader(self.master)

    def rest(self) -> bytes:
        """What is printed and not yet read, without waiting."""
        data = b""
        with contextlib.suppress(OSError):
            while piece := os.read(self.master, _READ):
                data += piece
        return data


def settle(ready: asyncio.Future[_T], value: _T) -> None:
    """Give a future its value, unless it has been cancelled."""
    if not ready.done():
        ready.set_result(value)
