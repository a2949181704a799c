"""Serial ports that answer by rote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firmshake.repl.wire import Wire


class Rote:
    """A port that answers each write by a rule, and has no lines to reset anything with."""

    port = "rote"
    baudrate = 115200
    timeout = 0.0

    def __init__(self, rule: Callable[[bytes], bytes]) -> None:
        self.written = b""
        self._rule = rule
        self._waiting = b""

    def write(self, data: bytes) -> int:
        self.written += data
        self._waiting += self._rule(data)
        return len(data)

    @property
    def in_waiting(self) -> int:
        return len(self._waiting)

    def read(self, size: int) -> bytes:
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        return taken

    @property
    def dtr(self) -> bool:
        return False

    @dtr.setter
    def dtr(self, value: bool) -> None:
        raise OSError(25, "Inappropriate ioctl for device")

    rts = dtr


def wire(rule: Callable[[bytes], bytes]) -> Wire:
    port: Any = Rote(rule)
    return Wire(port)
