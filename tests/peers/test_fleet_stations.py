"""Stations that share a registry on a real PostgreSQL server: one run, each board once."""

from __future__ import annotations

import contextlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
from support import desk, fleetdesk, fleetkills
from support.fleetdesk import Bench

from firmshake import project
from firmshake.registry import open_for

BOARDS = 4


def moved(bench: Bench, url: str) -> None:
    """The project's registry is on PostgreSQL from now on."""
    done = desk.firmshake("registry", "move", url, cwd=bench.made.root, passphrase=None)
    assert done.returncode == 0, done.stderr


def another(bench: Bench, folder: Path) -> Bench:
    """A second station: its own copy of the project's folder, at the same bench."""
    shutil.copytree(bench.made.root, folder)
    return replace(bench, made=project.load(folder))


def ports(bench: Bench, *numbers: int) -> list[str]:
    return [word for number in numbers for word in ("--port", bench.boards[number]["port"])]


def test_two_stations_share_a_run_and_no_device_is_given_twice(
    tmp_path: Path, postgres_url: str
) -> None:
    made = desk.make_project(tmp_path / "one")
    manifest = "id\n" + "".join(f"pump-{number}\n" for number in range(BOARDS))
    (made.root / "line.csv").write_text(manifest)
    with (
        desk.broker(made),
        fleetdesk.bench(made, tmp_path / "runtime", BOARDS) as one,
        contextlib.ExitStack() as stack,
    ):
        moved(one, postgres_url)
        two = another(one, tmp_path / "two")
        both = [
            stack.enter_context(bench.running("run", "line.csv", "--json", *ports(one, *which)))
            for bench, which in ((one, (0, 1)), (two, (2, 3)))
        ]
        # both are read: one that fills its pipe waits, and the other for its boards
        with ThreadPoolExecutor() as pool:
            ends = list(pool.map(lambda one: one.communicate(timeout=fleetdesk.LIMIT_S), both))
        assert [process.returncode for process in both] == [0, 0], ends
        registry = open_for(two.made)
        devices = registry.devices()
        assert [device.state for device in devices] == ["proved"] * BOARDS
        assert len({device.unique_id for device in devices}) == BOARDS
        assert len(registry.runs()) == 1
        assert len(list(registry.certificates(kind="device"))) == BOARDS
        fleetdesk.accounts(registry, devices)
        # each has proved its own, and has seen the others' come
        last = [json.loads(out.splitlines()[-1]) for out, _ in ends]
        assert [totals["here"] for totals in last] == [2, 2]
        assert [totals["proved"] for totals in last] == [BOARDS, BOARDS]


def test_what_a_dead_station_had_claimed_another_takes_once_the_lease_is_over(
    tmp_path: Path, postgres_url: str
) -> None:
    made = desk.make_project(tmp_path / "one")
    with desk.broker(made), fleetdesk.bench(made, tmp_path / "runtime", 1) as one:
        moved(one, postgres_url)
        two = another(one, tmp_path / "two")
        # its board has got nothing so far
        dies = fleetkills.all_but("after record_issued 1")
        assert fleetkills.killed(one, dies, "run", "--count", "1") == "after record_issued 1"
        with two.running("run", "--resume", "--json") as other:
            assert other.stdout is not None
            seen = []
            for line in other.stdout:
                seen.append(json.loads(line))
                if "being worked on" in str(seen[-1].get("words")):
                    with psycopg.connect(postgres_url) as connection:
                        connection.execute("UPDATE claims SET expires_at = 0")
                if seen[-1].get("state") == "proved":
                    break
            assert seen[-1]["state"] == "proved"
            assert other.wait(60) == 0
        registry = open_for(two.made)
        devices = registry.devices()
        assert [device.state for device in devices] == ["proved"]
        fleetdesk.accounts(registry, devices)
        # what the dead station had signed is revoked
        assert [row.reason for row in registry.revoked()] == ["superseded"]
