"""Kills what works on a fleet, at every change of the registry and at random moments.

As a program, `python -m support.fleetkills SPARED ARGUMENTS`, it is `firmshake ARGUMENTS` that
kills itself at the first moment that is not among those spared, and says which it was. A moment is
just before or just after a change that it makes to the registry: "after claim 2" is that of the
second claim. SPARED has a comma between them.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import family

if TYPE_CHECKING:  # slow to load, and the program does without
    from support.fleetdesk import Bench

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
    """Be firmshake, up to that moment."""
    from firmshake import cli
    from firmshake.registry import Registry

    spared = set(sys.argv.pop(1).split(","))
    count: Counter[str] = Counter()

    def reached(moment: str) -> None:
        if moment not in spared:
            os.write(2, f" killed {moment}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any, **named: Any) -> Any:
            count[name] += 1
            which = f"{name} {count[name]}"
            reached(f"before {which}")
            done = change(*arguments, **named)
            reached(f"after {which}")
            return done

        return changing

    for name in CHANGES:
        setattr(Registry, name, deadly(name, getattr(Registry, name)))
    cli.main()


def all_but(moment: str) -> list[str]:
    """Every moment of a short run but this one."""
    every = product(("before", "after"), CHANGES, range(1, 10))
    return [said for one in every if (said := " ".join(map(str, one))) != moment]


def killed(bench: Bench, spared: Iterable[str], *arguments: str) -> str:
    """Run `firmshake fleet ARGUMENTS` so; return when it killed itself, "" where it ended well."""
    from support import desk
    from support.fleetdesk import LIMIT_S

    with desk.typed() as handle:
        command = [sys.executable, "-m", "support.fleetkills", ",".join(spared), "fleet"]
        done = subprocess.run(
            [*command, *arguments, "--passphrase-fd", str(handle)],
            cwd=bench.made.root,
            env={**bench.environment, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[handle],
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    moments = re.findall(r" killed (.+)\n", done.stderr)
    assert done.returncode == (-signal.SIGKILL if moments else 0), done.stdout + done.stderr
    return moments[0] if moments else ""


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


def kill_one(station: int, runtime: Path, dice: random.Random, kinds: Sequence[str]) -> str:
    """Kill something of one of these kinds; what kind it was, "" where none is there."""
    kind = dice.choices(kinds, [WEIGHTS[each] for each in kinds])[0]
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
