"""CircuitPython's `supervisor`: milliseconds whose count comes round at 2**29, and reloads."""

from __future__ import annotations

import time

from . import board

_START_MS = (1 << 29) - 65536  # it comes round 65 s after a board's reset (shared-bindings)


class Runtime:
    """`supervisor.runtime`."""

    autoreload = True
    serial_connected = True
    usb_connected = True


runtime = Runtime()


def ticks_ms() -> int:
    """Milliseconds of a clock that comes round."""
    return (time.monotonic_ns() // 1_000_000 + _START_MS) % (1 << 29)


def reload() -> None:
    """Start code.py anew."""
    board.leave(board.SOFT_RESET)
