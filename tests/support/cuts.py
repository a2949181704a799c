"""Cuts the power in an operation of the CA, at moments chosen by a seed, and looks at what is left.

A program: `cuts.py OPERATION CUTS SEED`, run with the library of powercut.py. The operation runs
once, in a project in the watched folder. It has to have everything on the disk when it returns. Of
each moment then what the disk may hold is put into the folder, and has to pass what kills.py asks
of a kill: all is in order, the same operation succeeds or says that it is done, and all is in order
again. It prints what was wrong, and exits with 1 if there was anything.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support import kills, powercut
from support.powercut import Change, Kind

from firmshake.newproject import new_project
from firmshake.project import Broker

SYNCS = (Kind.SYNC, Kind.SYNC_FOLDER)


@dataclass(frozen=True)
class Trial:
    """An operation: how a project comes to be, what is done, and what is asked of a cut."""

    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    tried: Callable[[Path, str], Iterator[str]]


def _of_ca(name: str) -> Trial:
    work, products = kills.OPERATIONS[name], kills.PRODUCTS.get(name, ())

    def prepare(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(kills.pristine(Path(scratch)), folder)

    return Trial(
        prepare,
        lambda folder: work(kills.opened(folder)),
        lambda folder, when: kills.tried(folder, work, products, when),
    )


def _init(folder: Path) -> None:
    broker = Broker("127.0.0.1", 8883, "broker.example")
    new_project(folder, broker=broker, passphrase=kills.SECRET, now=kills.BORN, ntp=())


def _all_or_nothing(folder: Path, when: str) -> Iterator[str]:
    if not folder.exists():
        _init(folder)
    yield from (f"{when}: {what}" for what in kills.faults(folder, done=True))


TRIALS = {
    "init": Trial(lambda folder: None, _init, _all_or_nothing),
    **{name: _of_ca(name) for name in kills.OPERATIONS},
}


def _main(name: str, cuts: int, seed: int) -> int:
    kills.hasten()
    journal, trial = powercut.watching(), TRIALS[name]
    folder = journal.folder / "fleet"
    trial.prepare(folder)
    journal.begin()
    trial.work(folder)
    changes = journal.changes()
    found = [f"the log misses {path}" for path in journal.unseen()]
    found += [f"done, and not on the disk: {path}" for path in journal.unsynced() if _lasts(path)]
    for moment, each, ordered in _moments(changes, cuts, Random(seed)):
        journal.drop(each, changes[:moment], ordered=ordered)
        found += trial.tried(folder, f"cut at {moment} of {len(changes)} ({each}, {ordered})")
    said = {"changes": len(changes), "cuts": cuts}
    sys.stdout.write("".join(f"{line}\n" for line in (*found, json.dumps(said))))
    return bool(found)


def _lasts(path: str) -> bool:
    """Whether it is no file that was on its way only."""
    return not Path(path).name.startswith(".firmshake") and not Path(path).name.startswith(".")


def _moments(
    changes: Sequence[Change], cuts: int, made: Random
) -> Iterator[tuple[int, int, bool]]:
    """After how many changes the power goes, the seed, and whether the disk keeps an order.

    Every other one is before a sync: then most is under way.
    """
    syncs = [at for at, change in enumerate(changes) if change.kind in SYNCS]
    for number in range(cuts):
        moment = made.choice(syncs) if number % 2 else made.randint(0, len(changes))
        yield moment, made.randrange(1 << 30), made.random() < 0.25


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
