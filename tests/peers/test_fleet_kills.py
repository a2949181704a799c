"""A fleet run is killed again and again, and in the end every board is proved and accounted for."""

from __future__ import annotations

import faulthandler
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from support import desk, fleetdesk, fleetkills
from support.fleetdesk import Bench

FEW = 1
MANY = 32
KILLS = 200
MEAN_S = 0.35
QUIET_S = 240
# SEC1 (RFC 5915) and PKCS#8 (RFC 5958), as DER and as PEM
KEYS = re.compile(
    rb"\x30.\x02\x01\x01\x04\x20|\x30.\x02\x01\x00\x30\x13\x06\x07|-----BEGIN (EC )?PRIV"
)


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    made, count = desk.make_project(tmp_path / "fleet"), request.param
    faults = pulled(count // 3)
    with desk.broker(made), fleetdesk.bench(made, tmp_path / "runtime", count, *faults) as found:
        yield found


def pulled(count: int) -> list[str]:
    """The cables of so many boards are pulled, each at a random moment of what is written."""
    dice = random.Random(count)
    shares = [f"{number}:unplug-at={dice.randint(1, 99)}%" for number in range(1, count + 1)]
    return [word for share in shares for word in ("--fault", share)]


def finished(bench: Bench, count: int) -> None:
    """The run is resumed to its end; then all is as if nothing had happened."""
    done = bench.run("run", "--resume", "--plain")
    assert done.returncode == 0, done.stdout + done.stderr
    devices = bench.devices()
    assert [device.state for device in devices] == ["proved"] * count
    assert len({device.unique_id for device in devices}) == count
    fleetdesk.accounts(bench.registry, devices)
    assert bench.registry.altered() == []
    assert keys_on_disk(bench) == set()


def still_going() -> None:
    """Let the time in which a test must end begin anew: this one is long."""
    faulthandler.dump_traceback_later(QUIET_S, exit=True)


def keys_on_disk(bench: Bench) -> set[str]:
    """Files with a private key in clear, but for the broker's own."""
    files = [path for path in bench.made.root.parent.rglob("*") if path.is_file()]
    assert bench.made.broker_folder / "broker.pem" in files
    found = {str(path) for path in files if KEYS.search(path.read_bytes())}
    return found - {str(bench.made.broker_folder / "broker.pem")}


@pytest.mark.parametrize("bench", [FEW], indirect=True)
def test_killed_at_every_change_of_the_registry_it_is_resumed(bench: Bench) -> None:
    arguments = ("run", "--count", str(FEW), "--plain", "--force")
    moments: list[str] = []
    # each time from what the last kill has left, with all changes anew; the run that has no new
    # moment comes to its end
    while moment := fleetkills.killed(bench, moments, *arguments):
        moments.append(moment)
        still_going()
    changes = ("open_run", "claim", "record_issued", "set_state", "release", "end_run")
    found = {tuple(moment.split()[:2]) for moment in moments}
    assert found >= set(product(("before", "after"), changes))
    bench.registry.open_run("again", "again-{number:06}", FEW)
    finished(bench, FEW)


@pytest.mark.parametrize("bench", [MANY], indirect=True)
def test_killed_at_random_moments_it_is_resumed(bench: Bench) -> None:
    dice = random.Random(6)
    killed: Counter[str] = Counter()
    arguments = ["run", "--count", str(MANY), "--plain"]
    # what chance has not chosen by then is chosen on purpose
    while killed.total() < KILLS or len(killed) < len(fleetkills.WEIGHTS):
        with bench.running(*arguments) as station:
            for _ in fleetkills.moments(dice, MEAN_S):
                if station.poll() is not None:
                    break
                missing = [kind for kind in fleetkills.WEIGHTS if kind not in killed]
                kinds = missing if missing and killed.total() >= KILLS else [*fleetkills.WEIGHTS]
                if kind := fleetkills.kill_one(station.pid, bench.runtime, dice, kinds):
                    killed[kind] += 1
                    still_going()
        if bench.registry.last_run() is not None:
            arguments = ["run", "--resume", "--plain"]
        elif station.returncode == 0:
            arguments = ["run", "--count", str(MANY), "--plain", "--force"]
    if bench.registry.last_run() is None:
        bench.registry.open_run("again", "again-{number:06}", MANY)
    still_going()
    finished(bench, MANY)
