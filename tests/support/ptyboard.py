"""A board whose port is a pseudo-terminal, plugged in and pulled out by the test."""

from __future__ import annotations

import os
import pty
import tty
from pathlib import Path
from typing import cast

from firmshake import serialport
from firmshake.console import OpenPort


class Board:
    """A board whose port is a pseudo-terminal behind a link, as a device node is."""

    def __init__(self, folder: Path, name: str = "ttyBOARD") -> None:
        self.path = folder / name
        self._ends: tuple[int, int] | None = None
        self._first = b""  # said once the port is open: opening drops what came before
        self.plug()

    def plug(self) -> None:
        self._ends = pty.openpty()
        tty.setraw(self._ends[1])
        self.path.symlink_to(os.ttyname(self._ends[1]))

    def unplug(self) -> None:
        if self._ends:
            self.path.unlink()
            for end in self._ends:
                os.close(end)
            self._ends = None

    def say(self, data: str | bytes) -> None:
        assert self._ends
        left = data.encode() if isinstance(data, str) else data
        # a write that waits for room is cut short where the process is stopped meanwhile
        while left:
            left = left[os.write(self._ends[0], left) :]

    def say_first(self, text: str) -> None:
        self._first = text.encode()

    def open(self) -> OpenPort:
        port = cast(OpenPort, serialport.open_port(str(self.path), 115200))
        if self._first:
            self.say(self._first)
        self._first = b""
        return port
