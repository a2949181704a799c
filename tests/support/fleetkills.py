"""Kills what works on a fleet, at every change of the registry and at random moments.

As a program, `python -m support.fleetkills N ARGUMENTS`, it is `firmshake ARGUMENTS` that kills
itself at the Nth change that it makes to the registry: for an even N just after, for an odd one
just before it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from support import family

# every method of the registry by which a fleet run changes it
CHANGES = (
    "open_run",
    "plan",
    "reopen",
    "claim",
    "record_issued",
    "set_state",
    "release",
    "renew",
    "drop_station",
    "drop_session",
    "withdraw",
    "end_run",
)

# a kill of each kind is as likely as its weight: what holds most is killed most
_WEIGHTS = {"station": 3, "nursery": 1, "worker": 9, "esptool": 7}


def main() -> None:
    """Be firmshake, up to that change."""
    from firmshake import cli
    from firmshake.registry import Registry

    left = int(sys.argv.pop(1))

    def deadly(change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 2
            if left == -1:
                os.kill(os.getpid(), signal.SIGKILL)
            done = change(*arguments, **named)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return changing

    for name in CHANGES:
        setattr(Registry, name, deadly(getattr(Registry, name)))
    cli.main()


def processes(station: int) -> dict[str, list[int]]:
    """A station and what works for it, by kind."""
    parents = family.children()
    found: dict[str, list[int]] = {kind: [] for kind in _WEIGHTS}
    found["station"] = [station]
    nurseries = [pid for pid in parents.get(station, []) if "forkserver" in _command(pid)]
    found["nursery"] = nurseries
    found["worker"] = [pid for nursery in nurseries for pid in parents.get(nursery, [])]
    found["esptool"] = [
        pid
        for worker in found["worker"]
        for pid in parents.get(worker, [])
        if "esptool" in _command(pid)
    ]
    return found


def kill_one(station: int, dice: random.Random) -> str:
    """Kill the station or something that works for it; what kind it was, "" where nothing is."""
    there = {kind: pids for kind, pids in processes(station).items() if pids}
    if not there:
        return ""
    kinds = list(there)
    kind = dice.choices(kinds, [_WEIGHTS[one] for one in kinds])[0]
    with contextlib.suppress(ProcessLookupError):
        os.kill(dice.choice(there[kind]), signal.SIGKILL)
        return kind
    return ""


def moments(dice: random.Random, mean_s: float) -> Iterator[None]:
    """Pass random times, of that length in the mean."""
    while True:
        time.sleep(dice.expovariate(1 / mean_s))
        yield


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


if __name__ == "__main__":
    main()
