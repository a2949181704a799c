"""Serial ports that answer by rote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from firmshake.repl import entering, restarting
from firmshake.repl import wire as wires
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


class Looks:
    """A clock that goes on by a millisecond at each look: no machine is too busy for it."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 0.001
        return self._now


def by_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the time limits of the REPL's modules measured by such a clock."""
    looks = Looks()
    for module in (wires, entering, restarting):
        monkeypatch.setattr(module, "time", looks)
