"""CircuitPython's `supervisor`: the count of milliseconds that comes round at 2**29."""

from __future__ import annotations

import time

_START_MS = (1 << 29) - 65536  # it comes round 65 s after a board's reset (shared-bindings)


def ticks_ms() -> int:
    """Milliseconds of a clock that comes round."""
    return (time.monotonic_ns() // 1_000_000 + _START_MS) % (1 << 29)
