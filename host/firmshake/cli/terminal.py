"""Standard output for what rich shows."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # slow to load, and `--json` needs none of it
    from rich.console import Console


def terminal() -> Console:
    """Standard output for rich: colour on a terminal only, never an error for a character."""
    from rich.console import Console

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False)
