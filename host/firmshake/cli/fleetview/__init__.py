"""How a run is shown: on a terminal's whole screen, as lines for a log, or as JSON."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Literal

from firmshake.cli.terminal import terminal
from firmshake.fleet.view import View

Kind = Literal["auto", "plain", "json"]


@contextlib.contextmanager
def view(kind: Kind = "auto", *, bell: bool = False) -> Iterator[View]:
    """Give a View on standard output; "auto" is the whole screen of a terminal, else plain lines.

    With `bell` it rings when a board has failed. When the context ends, how the run stands is said
    once more, and a terminal's screen is as before.
    """
    console = terminal()
    if kind == "auto" and console.is_terminal and not console.is_dumb_terminal:
        from firmshake.cli.fleetview.live import LiveView

        with LiveView(console, bell).drawn() as live:
            yield live
        return
    from firmshake.cli.fleetview.bell import Bell
    from firmshake.cli.fleetview.jsonlines import JsonView
    from firmshake.cli.fleetview.plain import PlainView

    rings = Bell(sys.stderr if bell and sys.stderr.isatty() else None)
    lines = JsonView(sys.stdout, rings) if kind == "json" else PlainView(sys.stdout, rings)
    try:
        yield lines
    finally:
        lines.end()
