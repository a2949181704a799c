"""Many virtual boards, the real esptool and MicroPython, a real broker: `firmshake fleet run`."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import chatter, desk, fleetdesk
from support.fleetdesk import Bench

BOARDS = 4


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = desk.make_project(tmp_path / "fleet")
    with desk.broker(made), fleetdesk.bench(made, tmp_path / "runtime", BOARDS) as found:
        yield found


def test_every_board_becomes_a_device_of_its_own(bench: Bench) -> None:
    done = bench.run("run", "--count", str(BOARDS), "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    events = fleetdesk.said(done)
    at_work = next(n for n, one in enumerate(events) if one.get("working"))
    assert at_work < next(n for n, one in enumerate(events) if one.get("stage") == "look")
    devices = bench.devices()
    assert [device.state for device in devices] == ["proved"] * BOARDS
    assert {device.unique_id for device in devices} == {
        ":".join(one["unique_id"][at : at + 2] for at in range(0, 12, 2)) for one in bench.boards
    }
    serials = {device.certificate.serial_number for device in devices if device.certificate}
    assert len(serials) == BOARDS
    fleetdesk.accounts(bench.registry, devices)

    # the second time every board is known, and nothing is issued
    again = bench.run("run", "--count", str(BOARDS), "--json")
    assert again.returncode == 0, again.stderr + again.stdout
    assert [one.certificate for one in bench.devices()] == [one.certificate for one in devices]


def colons(unique_id: str) -> str:
    return ":".join(unique_id[at : at + 2] for at in range(0, 12, 2))


def test_a_manifest_says_which_board_is_which_and_others_are_left_alone(bench: Bench) -> None:
    first, second, third, _ = (one["unique_id"] for one in bench.boards)
    manifest = bench.made.root / "line.csv"
    manifest.write_text(
        "id,unique_id,board,mqtt.keepalive_s\n"
        f"pump,{colons(second)},esp32,\n"
        f"valve,{colons(first)},,45\n"
        f"lamp,{colons(third)},esp32-s3,\n"
    )
    done = bench.run("run", "line.csv", "--json", "--wait", "1")
    assert done.returncode == 1, done.stderr
    devices = {device.device_id: device for device in bench.devices()}
    assert {name: device.state for name, device in devices.items()} == {
        "pump": "proved",
        "valve": "proved",
        "lamp": "planned",
    }
    assert devices["pump"].unique_id == colons(second)
    assert devices["valve"].unique_id == colons(first)
    refused = {
        row["unique_id"]: row["words"]
        for row in fleetdesk.said(done)
        if row.get("state") == "refused"
    }
    assert refused.keys() == {colons(one["unique_id"]) for one in bench.boards[2:]}
    assert "kind esp32-s3" in refused[colons(third)]
    # the last two were never written to
    assert len(list(bench.registry.certificates(kind="device"))) == 2


def test_a_manifest_that_is_wrong_is_told_whole_before_anything_is_done(bench: Bench) -> None:
    (bench.made.root / "bad.csv").write_text("id,board\npump,esp32\npump,esp33\n-x,\n")
    done = bench.run("run", "bad.csv")
    assert done.returncode == 1
    for line in ("line 3", "line 4"):
        assert line in done.stderr
    assert "esp33" in done.stderr
    # each once, and one line more that says how it ended
    assert done.stderr.count("esp33") == 1
    assert done.stderr.splitlines()[-1].startswith("firmshake: nothing was done")
    assert bench.devices() == []
    assert bench.registry.runs() == []


def test_what_has_failed_is_said_and_tried_again_by_resume(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    with contextlib.ExitStack() as stack:
        # where somebody listens, the bench starts no broker
        with socket.create_server((made.broker.host, made.broker.port)):
            bench = stack.enter_context(fleetdesk.bench(made, tmp_path / "runtime", 2))
        done = bench.run("run", "--count", "2", "--json")
        assert done.returncode == 1, done.stderr
        assert [device.verdict for device in bench.devices()] == ["tcp/refused"] * 2
        ends = [row for row in fleetdesk.said(done) if row.get("state") == "failed"]
        assert {row["verdict"] for row in ends} == {"tcp/refused"}
        assert all(row["fix"] for row in ends)
        with desk.broker(made):
            again = bench.run("run", "--resume", "--json")
            assert again.returncode == 0, again.stderr
            # they have their identities already
            assert len(list(bench.registry.certificates(kind="device"))) == 2
            assert [device.state for device in bench.devices()] == ["proved"] * 2
            nothing = bench.run("run", "--resume")
    assert nothing.returncode == 1
    assert "no run to resume" in nothing.stderr


def test_a_board_that_is_pulled_and_plugged_in_again_is_done_after_all(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    faults = ("--fault", "1:unplug-at=50%", "--replug-after", "12")
    with desk.broker(made), fleetdesk.bench(made, tmp_path / "runtime", 2, *faults) as bench:
        done = bench.run("run", "--count", "2", "--plain")
        assert done.returncode == 0, done.stderr + done.stdout
        devices = bench.devices()
        assert [device.state for device in devices] == ["proved"] * 2
        fleetdesk.accounts(bench.registry, devices)
        assert "UNPLUGGED" in done.stdout


def test_a_station_goes_on_until_it_is_interrupted(bench: Bench) -> None:
    with bench.running("run", "--station", "--json") as station:
        assert station.stdout is not None
        for line in station.stdout:
            row = json.loads(line)
            if row.get("event") == "totals" and row["proved"] == BOARDS:
                break
        assert station.poll() is None
        # one station at a time works here
        second = bench.run("run", "--station")
        assert second.returncode == 1
        assert "another firmshake" in second.stderr
        station.send_signal(signal.SIGINT)
        _, err = station.communicate(timeout=60)
    assert station.returncode == 128 + signal.SIGINT
    assert "Traceback" not in err
    assert bench.registry.status().stations == {}


def test_boards_that_fail_before_they_are_anything_end_the_run_too(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    with (
        desk.broker(made),
        fleetdesk.bench(made, tmp_path / "runtime", 2, "--fault", "2:busy") as b,
    ):
        done = b.run("run", "--count", "2", "--json")
        assert done.returncode == 1, done.stderr
        totals = [row for row in fleetdesk.said(done) if row["event"] == "totals"][-1]
        assert (totals["proved"], totals["failed"]) == (1, 1)
        assert [device.state for device in b.devices()] == ["proved"]


def test_what_a_board_was_given_that_never_comes_back_is_revoked(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    faults = ("--fault", "1:unplug-at=50%", "--replug-after", "3000")
    with desk.broker(made), fleetdesk.bench(made, tmp_path / "runtime", 2, *faults) as bench:
        done = bench.run("run", "--count", "1", "--jobs", "1", "--plain")
        assert done.returncode == 0, done.stderr + done.stdout
        proved = [device for device in bench.devices() if device.state == "proved"]
        assert len(proved) == 1
        # the second board has the place of the first
        assert len(list(bench.registry.certificates(kind="device"))) == 2
        fleetdesk.accounts(bench.registry, proved)


def test_two_boards_that_say_the_same_unique_id_are_not_both_taken(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    with (
        desk.broker(made),
        fleetdesk.bench(made, tmp_path / "runtime", 1) as one,
        fleetdesk.bench(made, tmp_path / "runtime", 1) as two,
    ):
        assert one.boards[0]["unique_id"] == two.boards[0]["unique_id"]
        done = one.run("run", "--count", "2", "--json", "--wait", "1")
        assert done.returncode == 1
        rows = {row["key"]: row for row in fleetdesk.said(done) if row["event"] == "board"}
        assert sorted(row["state"] for row in rows.values()) == ["proved", "refused"]
        refused = next(row for row in rows.values() if row["state"] == "refused")
        assert "unique id of the board on" in refused["words"]
        assert len(list(one.registry.certificates(kind="device"))) == 1


def test_proved_boards_stay_proved_while_they_are_looked_at_again(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    with desk.broker(made):
        with fleetdesk.bench(
            made, tmp_path / "runtime", 1, "--flash", str(tmp_path / "f")
        ) as bench:
            assert bench.run("run", "--count", "2", "--wait", "0").returncode == 1
        with fleetdesk.bench(
            made, tmp_path / "runtime", 1, "--flash", str(tmp_path / "f")
        ) as bench:
            with bench.running("run", "--resume", "--json") as station:
                assert station.stdout is not None
                for line in station.stdout:
                    if json.loads(line).get("stage") == "proof":
                        station.kill()
                        break
            again = bench.run("run", "--resume", "--wait", "0", "--json")
            assert again.returncode == 1
            totals = [row for row in fleetdesk.said(again) if row["event"] == "totals"]
            assert totals[-1]["proved"] == 1
            assert [device.state for device in bench.devices()] == ["proved"]


def test_no_code_is_taken_from_the_folder_in_which_it_runs(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    for name in ("json", "serial", "littlefs", "esptool", "firmshake"):
        (made.root / f"{name}.py").write_text(f"open({str(tmp_path / 'taken')!r}, 'w')\n")
    with desk.broker(made), fleetdesk.bench(made, tmp_path / "runtime", 1) as bench:
        done = bench.run("run", "--count", "1", "--plain")
    assert done.returncode == 0, done.stderr + done.stdout
    assert not (tmp_path / "taken").exists()


def test_what_speaks_and_is_no_board_is_told_at_the_first_attempt(tmp_path: Path) -> None:
    made = desk.make_project(tmp_path / "fleet")
    bench = Bench(made, tmp_path / "runtime")
    with chatter.at_a_terminal() as port:
        done = bench.run("run", "--count", "1", "--port", port, "--wait", "0", "--plain")
    assert done.returncode == 1
    assert "WORKING" in done.stdout
    assert "asking what it is: looking for its boot loader" in done.stdout
    assert f"what is on {port} speaks, but is no board: it says '$GPGGA" in done.stdout
    assert "attempt 2" not in done.stdout
    assert "trying again" not in done.stdout


def test_a_locked_registry_is_told_while_it_is_waited_for(tmp_path: Path) -> None:
    """Before the run is shown, and then in it."""
    made = desk.make_project(tmp_path / "fleet")
    (made.root / "line.csv").write_text("id,unique_id\npump,24:0a:c4:00:00:01\n")
    with contextlib.closing(
        sqlite3.connect(made.registry_path, isolation_level=None, timeout=60)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        with Bench(made, tmp_path / "runtime").running("run", "line.csv", "--plain") as station:
            assert station.stdout is not None
            assert station.stderr is not None
            assert "waiting for the registry" in station.stderr.readline()
            other.execute("ROLLBACK")
            assert "free again" in station.stderr.readline()
            waiting = station.stdout.readline()
            assert "waiting for 1 more board" in waiting
            assert "pump (24:0a:c4:00:00:01)" in waiting
            other.execute("BEGIN EXCLUSIVE")
            assert "waiting for the registry" in station.stdout.readline()
            other.execute("ROLLBACK")
            assert "free again" in station.stdout.readline()
