"""What the board's modules share: its settings, and how its process ends."""

from __future__ import annotations

import os
from typing import Any

# As in child.py, on the computer's side
SOFT_RESET = 64
SOFT_RESET_RAW = 65
HARD_RESET = 66

# Bound before `os` becomes the board's
_exit = os._exit

settings: dict[str, Any] = {}


def leave(status: int) -> None:
    """At once, past every `except` and `finally`, as a reset is."""
    _exit(status)
