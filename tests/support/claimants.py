"""Processes that claim devices: several at once, or one that dies with its claim."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from firmshake.registry import Claim, Registry, sqlitefile

# for the other stations to be done with a file, of which only one writes at a time
LIMIT_S = 120.0


def claim_all(
    place: Path | str, run: int, station: str, boards: Sequence[str], out: Queue[Any]
) -> None:
    """Claim for each of the boards, which others want too, and tell what was given."""
    sqlitefile.WAIT_S = LIMIT_S
    registry = Registry.open(place)
    for name in boards:
        answer = _claim(registry, run, name, station, 600.0)
        if isinstance(answer, Claim):
            out.put((answer.device_id, answer.unique_id, answer.slot))


def die_with_a_claim(place: Path | str, run: int, board: str, out: Queue[Any]) -> None:
    """Claim for a board, tell what was given, and be killed."""
    out.put(_claim(Registry.open(place), run, board, "dead", 0.2))
    out.close()
    out.join_thread()
    os.kill(os.getpid(), signal.SIGKILL)


def _claim(registry: Registry, run: int, board: str, station: str, lease_s: float) -> object:
    return registry.claim(
        run, unique_id=board, boards=["esp32"], station=station, session=station, lease_s=lease_s
    )
