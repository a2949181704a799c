"""The agent and the real MiniMQTT on CPython, in CircuitPython's shape, for one climb and no board.

What is imitated is told in firmshake.virtual.circuitpython, whose modules take the places of
CPython's in a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firmshake import climb
from firmshake.verdict import Verdict
from support import timeserver

# one time server, asked again where its answer comes late: the agent waits 1.5 s for each
_ASKED = 40

# -P: beside it stands a module named ssl
COMMAND = (sys.executable, "-P", str(Path(__file__).parent / "once.py"))


def run(
    settings: Mapping[str, object],
    files: Mapping[str, bytes],
    *,
    has_time: bool = True,
    arguments: tuple[str, ...] = (),
    before: str = "",
    **options: Any,
) -> Verdict:
    """The verdict of one climb of the shape, as climb.run gives it.

    Its clock starts in 2000. With `has_time` there is a time server in reach, which tells the true
    time; without, the agent has only the floor. `before` is code that runs first (support.pace).
    """
    command = (*COMMAND, *arguments, *(("--before", before) if before else ()))
    if not has_time:
        return climb.run(settings, files, command=command, **options)
    with timeserver.serving() as server:
        return climb.run({**settings, "ntp": [server] * _ASKED}, files, command=command, **options)
