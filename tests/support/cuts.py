"""Cuts the power in operations of CA and registry, at moments chosen by a seed.

A program: `cuts.py CUTS SEED OPERATION...`, run with the library of powercut.py. Each operation
runs once, in a project in the watched folder, and has to have all of it on the disk when it
returns. What a disk may hold that loses its power at one of the moments is put into the folder
then, and has to pass what kills.py asks after a kill: all is in order, the same operation succeeds
or says that it is done, and all is in order again. What the registry has promised until then, it
has to know. It prints what was wrong, and exits with 1 if there was anything.
"""

from __future__ import annotations

import functools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from firmshake.ca import certificate as certificates
from firmshake.fleet.planned import Planned
from firmshake.newproject import new_project
from firmshake.project import Broker
from firmshake.registry import STATES, Registry
from firmshake.registry.fleetrecord import Claim
from support import kills, powercut
from support.powerdisk import Change, Kind

_SYNCS = (Kind.SYNC, Kind.SYNC_FOLDER)

# the boards of a small fleet, by device id
UNIQUE = {name: f"24:6f:28:00:00:{at:02}" for at, name in enumerate(kills.FLEET)}
_STATION = {"boards": ["esp32"], "station": "bench", "session": "1", "lease_s": 60.0}


@dataclass(frozen=True)
class Trial:
    """An operation: how its project comes to be, what is done, and what is asked after a cut.

    `tried` is given the folder and what was promised before the cut, and tells what is wrong.
    """

    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    tried: Callable[[Path, Sequence[str]], Iterator[str]]


def _of_ca(name: str) -> Trial:
    work, products = kills.OPERATIONS[name], kills.PRODUCTS.get(name, ())
    return Trial(
        _pristine,
        lambda folder: work(kills.opened(folder)),
        lambda folder, promised: kills.tried(folder, work, products, name),
    )


def _nothing(folder: Path) -> None:
    """What `firmshake init` begins with."""


def _init(folder: Path) -> None:
    broker = Broker("127.0.0.1", 8883, "broker.example")
    new_project(folder, broker=broker, passphrase=kills.SECRET, now=kills.BORN, ntp=())


def _whole_or_absent(folder: Path, promised: Sequence[str]) -> Iterator[str]:
    if not folder.exists():
        _init(folder)
    yield from kills.faults(folder, done=True)


def _fleet(folder: Path) -> None:
    """The registry's part of a run: what a station does for boards that are plugged in."""
    desk = kills.opened(folder)
    planned = [Planned(name, board) for name, board in UNIQUE.items()]
    desk.registry.drop_session(_STATION["session"])
    run = desk.registry.plan("line", "0" * 64, "line.csv", planned)
    for board in UNIQUE.values():
        claim = desk.registry.claim(run.id, unique_id=board, **_STATION)
        assert isinstance(claim, Claim), claim
        if claim.known_state != "proved":
            _provision(desk, claim)
        desk.registry.release(claim, "proved")
    desk.registry.end_run(run.id)


def _provision(desk: kills.Desk, claim: Claim) -> None:
    given = {"unique_id": claim.unique_id, "token": claim.token}
    made = desk.authority.issue(claim.device_id, now=desk.now)
    serial = certificates.serial(made.certificate)
    desk.registry.record_issued(claim.device_id, made.certificate, **given)
    powercut.mark(f"issued {claim.device_id} {serial}")
    desk.registry.set_state(claim.device_id, "written", serial_number=serial, **given)
    powercut.mark(f"written {claim.device_id} {serial}")
    desk.registry.set_state(claim.device_id, "proved", "ready", **given)
    powercut.mark(f"proved {claim.device_id} {serial}")


def _fleet_tried(folder: Path, promised: Sequence[str]) -> Iterator[str]:
    yield from kills.faults(folder, done=False)
    registry = kills.opened(folder).registry
    for promise in promised:
        if not _is_kept(registry, *promise.split()):
            yield f"forgotten: {promise}"
    _fleet(folder)
    yield from kills.faults(folder, done=True)
    for name, board in UNIQUE.items():
        yield from _of_device(registry, name, board)


def _is_kept(registry: Registry, state: str, device_id: str, serial: str) -> bool:
    device = registry.device(device_id)
    if device is None or registry.certificate(serial) is None:
        return False
    return STATES.index(device.state) >= STATES.index(state)


def _of_device(registry: Registry, name: str, board: str) -> Iterator[str]:
    device = registry.device(name)
    if device is None or (device.state, device.unique_id) != ("proved", board):
        yield f"{name} is not proved: {device}"
        return
    on_board = device.certificate.serial_number if device.certificate else None
    for row in registry.certificates(device_id=name):
        if row.revoked_at is None and row.serial_number != on_board:
            yield f"{row.serial_number} of {name} is on no board, and good"


@functools.cache
def _source() -> Path:
    return kills.pristine(Path(tempfile.mkdtemp()))


def _pristine(folder: Path) -> None:
    shutil.copytree(_source(), folder)


TRIALS = {
    "init": Trial(_nothing, _init, _whole_or_absent),
    "fleet": Trial(_pristine, _fleet, _fleet_tried),
    **{name: _of_ca(name) for name in kills.OPERATIONS},
}


def _folder_only(folder: Path) -> None:
    """As `handover.issue` would be if it did not sync the folder that it makes its own in."""
    desk = kills.opened(folder)
    desk.out.mkdir()
    kills.OPERATIONS["issue"](desk)


def _promised_early(folder: Path) -> None:
    """Promises before the registry has written anything."""
    made = kills.opened(folder).authority.issue("lamp", now=kills.BORN).certificate
    powercut.mark(f"issued lamp {certificates.serial(made)}")
    _fleet(folder)


# what shows that harm would be found, and what is found
CONTROLS = {
    "folder_only": "done, and not on the disk: fleet/had/out",
    "promised_early": "forgotten: issued lamp",
}
_CONTROLS = {
    "folder_only": Trial(_pristine, _folder_only, lambda folder, promised: iter(())),
    "promised_early": Trial(_pristine, _promised_early, _fleet_tried),
}


def _main(cuts: int, seed: int, names: Sequence[str]) -> int:
    kills.hasten()
    found, counts = [], {}
    for name in names:
        journal, trial = powercut.watching(), (TRIALS | _CONTROLS)[name]
        shutil.rmtree(journal.folder)
        journal.folder.mkdir()
        changes = _recorded(journal, trial)
        found += [f"{name}: {what}" for what in _ended(journal)]
        found += _tried(journal, name, trial, _moments(changes, cuts, Random(seed)))
        counts[name] = len(changes)
    sys.stdout.write("".join(f"{line}\n" for line in (*found, json.dumps(counts))))
    return bool(found)


@dataclass(frozen=True)
class Cut:
    """When the power goes, what chance does, and whether the disk keeps an order."""

    changes: Sequence[Change]
    seed: int
    ordered: bool


def _recorded(journal: powercut.Journal, trial: Trial) -> list[Change]:
    folder = journal.folder / "fleet"
    trial.prepare(folder)
    journal.begin()
    trial.work(folder)
    return journal.changes()


def _ended(journal: powercut.Journal) -> Iterator[str]:
    yield from (f"the log misses {path}" for path in journal.unseen())
    for path in journal.unsynced():
        # what was on its way only, and may be there again, has such a name
        if not any(part.startswith(".") for part in Path(path).parts):
            yield f"done, and not on the disk: {path}"


def _tried(
    journal: powercut.Journal, name: str, trial: Trial, cuts: Iterator[Cut]
) -> Iterator[str]:
    folder = journal.folder / "fleet"
    for cut in cuts:
        journal.drop(cut.seed, cut.changes, ordered=cut.ordered)
        when = f"{name}, cut after {len(cut.changes)} ({cut.seed}, {cut.ordered})"
        promised = powercut.marks(cut.changes)
        yield from (f"{when}: {what}" for what in trial.tried(folder, promised))


def _moments(changes: Sequence[Change], cuts: int, made: Random) -> Iterator[Cut]:
    """Every other cut is at a sync: then most is under way."""
    syncs = [at for at, change in enumerate(changes) if change.kind in _SYNCS]
    for number in range(cuts):
        moment = made.choice(syncs) if number % 2 else made.randint(0, len(changes))
        yield Cut(changes[:moment], made.randrange(1 << 30), made.random() < 0.25)


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
