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
    "drop_session",
    "withdraw",
    "end_run",
)

# a kill of each kind is as likely as its weight; with the station all of them go
WEIGHTS = {"station": 4, "nursery": 2, "parent": 2, "worker": 48, "esptool": 44}


def main() -> None:
    """Be firmshake, up to that change."""
    from firmshake import cli
    from firmshake.registry import Registry

    left = int(sys.argv.pop(1))

    def deadly(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 2
            if left == -1:
                _die("before", name)
            done = change(*arguments, **named)
            if left == 0:
                _die("after", name)
            return done

        return changing

    for name in CHANGES:
        setattr(Registry, name, deadly(name, getattr(Registry, name)))
    cli.main()


def _die(when: str, change: str) -> None:
    os.write(2, f" {when} {change}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def processes(station: int, runtime: Path) -> dict[str, list[int]]:
    """A station and what works for it, by kind: told by its environment, whoever its parent is."""
    found: dict[str, list[int]] = {kind: [] for kind in WEIGHTS}
    found["station"] = [station]
    for pid in family.with_environment(f"FIRMSHAKE_RUNTIME={runtime}"):
        command = family.command(pid)
        if "esptool_parent" in command:
            # it forks one for each run
            is_run = "esptool_parent" in family.command(family.parent(pid))
            found["esptool" if is_run else "parent"].append(pid)
        elif "esptool_child" in command:
            found["esptool"].append(pid)
        elif "forkserver" in command:
            kind = "nursery" if family.parent(pid) == station else "worker"
            found[kind].append(pid)
    return found


def kill_one(station: int, runtime: Path, dice: random.Random) -> str:
    """Kill the station or something that works for it; what kind it was, "" where none is there."""
    kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    pids = processes(station, runtime)[kind]
    if not pids:
        return ""
    with contextlib.suppress(ProcessLookupError):
        os.kill(dice.choice(pids), signal.SIGKILL)
    return kind


def moments(dice: random.Random, mean_s: float) -> Iterator[None]:
    """Pass random times, of that length in the mean."""
    while True:
        time.sleep(dice.expovariate(1 / mean_s))
        yield


if __name__ == "__main__":
    main()
