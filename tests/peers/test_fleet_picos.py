"""Boards with a drive in a fleet: fresh Picos, CircuitPython, and a bench where all is mixed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import desk, fleetdesk, plugged
from support.desk import Notes
from support.fleetdesk import Bench

from firmshake import provision
from firmshake.boards import bench as announcing
from firmshake.boards.seen import Port, Usb
from firmshake.firmwares.store import Store, default_folder
from firmshake.project import Project
from firmshake.virtual import VirtualPico
from firmshake.ways import choose, firmwarefirst
from firmshake.ways.choose import Wish
from firmshake.ways.firmwarefirst import Elsewhere


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose broker runs, on a computer that keeps no firmware so far."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    project = desk.make_project(tmp_path / "fleet")
    with desk.broker(project):
        yield project


def keep(board: str = "pico-w") -> None:
    """Have MicroPython for that board, as `firmshake firmware fetch` would."""
    assert Store(default_folder()).add(plugged.firmware(board).data)


@contextlib.contextmanager
def picos(made: Project, tmp_path: Path, count: int, *more: str) -> Iterator[Bench]:
    arguments = ("--board", "pico-w", "--drive", str(tmp_path / "drives"), *more)
    with fleetdesk.bench(made, tmp_path / "runtime", count, *arguments) as bench:
        yield bench


def test_fresh_picos_get_micropython_and_then_identities_of_their_own(
    made: Project, tmp_path: Path
) -> None:
    keep()
    with picos(made, tmp_path, 3) as bench:
        assert all(board["drive"] and not board["port"] for board in bench.boards)
        done = bench.run("run", "--count", "3", "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        devices = bench.devices()
        assert [device.state for device in devices] == ["proved"] * 3
        assert {device.unique_id for device in devices} == {
            board["unique_id"] for board in bench.boards
        }
        rows = [row for row in fleetdesk.said(done) if row["event"] == "board"]
        # each is one board all the time, from its drive to its proof
        assert len({row["key"] for row in rows}) == 3
        assert not [row for row in rows if row["state"] == "gone"]
        # a port that did not answer in time is tried once more; one that a drive becomes is not
        late = {f"{row['port']} cannot be opened; trying again" for row in rows}
        again = {row["words"] for row in rows if row["words"].endswith("; trying again")}
        assert again <= late
        assert {row["attempt"] for row in rows} == ({1, 2} if again else {1})
        assert "firmware" in {row["stage"] for row in rows}

        # the second time every board is known, and nothing is issued
        again = bench.run("run", "--count", "3", "--json")
        assert again.returncode == 0, again.stderr + again.stdout
        assert [one.certificate for one in bench.devices()] == [one.certificate for one in devices]
        assert "firmware" not in {row.get("stage") for row in fleetdesk.said(again)}
        fleetdesk.accounts(bench.registry, devices)


def test_without_firmware_a_fresh_pico_fails_with_the_command_that_gets_some(
    made: Project, tmp_path: Path
) -> None:
    with picos(made, tmp_path, 1) as bench:
        done = bench.run("run", "--count", "1", "--json", "--wait", "1")
        assert done.returncode == 1
        (end,) = [row for row in fleetdesk.said(done) if row.get("state") == "failed"]
        assert "needs MicroPython" in end["words"]
        assert "firmshake firmware fetch pico-w" in end["fix"]
        assert bench.devices() == []
        # the board is as it was, and the same command goes well once there is some
        keep()
        again = bench.run("run", "--count", "1", "--json")
        assert again.returncode == 0, again.stderr + again.stdout


LAST = "gate-01,pico-w\n"


@pytest.mark.parametrize("manifest", ["pump-01,esp32\n", LAST], ids=["esp32", "proved"])
def test_a_fresh_pico_that_no_line_takes_is_left_as_it_was(
    made: Project, tmp_path: Path, manifest: str
) -> None:
    keep()
    (made.root / "line.csv").write_text(f"id,board\n{manifest}")
    if manifest == LAST:
        with picos(made, tmp_path, 1) as bench:
            assert bench.run("run", "line.csv", "--json").returncode == 0
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    with picos(made, fresh, 1) as bench:
        (board,) = bench.boards
        before = content(board)
        assert before
        done = bench.run("run", "line.csv", "--json", "--wait", "1")
        (end,) = [row for row in fleetdesk.said(done) if row.get("state") == "refused"]
        assert "no line of the manifest that is still open takes" in end["words"]
        assert "nothing was written to it" in end["words"]
        assert "firmware" not in {row.get("stage") for row in fleetdesk.said(done)}
        assert content(board) == before

        # the control: a line that takes it
        line = f"gate-02,pico-w,{board['unique_id']}"
        (made.root / "line.csv").write_text(f"id,board,unique_id\n{line}\n")
        done = bench.run("run", "line.csv", "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        assert content(board) != before


def content(board: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    """What is on the drive, and when it was written."""
    files = [path for path in Path(board["drive"]).rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_pico_that_is_pulled_while_it_gets_its_firmware_is_done_after_all(
    made: Project, tmp_path: Path
) -> None:
    keep()
    faults = ("--fault", "1:unplug-at=50%", "--replug-after", "6")
    with picos(made, tmp_path, 2, *faults) as bench:
        done = bench.run("run", "--count", "2", "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        assert [device.state for device in bench.devices()] == ["proved"] * 2
        said = {row["words"] for row in fleetdesk.said(done) if row.get("stage") == "firmware"}
        # whether it is back already when that is found out is chance
        ends = ("it was unplugged", "came back as the drive")
        assert any(end in words for words in said for end in ends)


def test_picos_that_restart_at_once_are_told_apart_by_their_plugs(
    made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with picos(made, tmp_path, 3) as bench, ThreadPoolExecutor() as pool:
        monkeypatch.setenv(announcing.FOLDER_VARIABLE, str(bench.runtime))

        def one(board: dict[str, Any]) -> provision.Outcome:
            # firmware and identity in one file, whose digests are read back from the right board
            wish = Wish(board["drive"], file=plugged.firmware())
            return plugged.provisioned(made, wish, device_id=f"pico-{board['number']}")

        outcomes = list(pool.map(one, bench.boards))
        assert [outcome.verdict.verdict for outcome in outcomes] == ["ready"] * 3
        assert [outcome.mac for outcome in outcomes] == [
            board["unique_id"] for board in bench.boards
        ]


def test_where_nothing_tells_which_plug_a_drive_was_at_its_port_is_left_to_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as on a system that knows no plugs of drives: there is just one more serial port, or two
    drive = tmp_path / "RPI-RP2"
    with VirtualPico(drive=drive, faster_than_life=True) as board:
        wish = Wish(str(drive), stored=lambda wanted: plugged.firmware(wanted.name))
        plugged.shown(plugged.Plugged(board, wish, drive))

        def announced() -> list[Port]:
            return [Port(board.url, Usb(0x2E8A, 0x0005))] if board.is_shown else []

        monkeypatch.setattr(announcing, "announced", announced)
        monkeypatch.setattr(announcing, "announced_drives", list)
        with pytest.raises(Elsewhere, match="MicroPython"):
            firmwarefirst.written(wish, Notes())
        # the board has it all the same, and is no drive any more
        there = Wish(board.url)
        assert firmwarefirst.written(there, Notes()) is there
        assert choose.choose(there, Notes()).seen.unique_id == board.unique_id


def test_circuitpython_boards_get_their_files_by_their_drives(
    made: Project, tmp_path: Path
) -> None:
    with picos(made, tmp_path, 2, "--circuitpython") as bench:
        done = bench.run("run", "--count", "2", "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        devices = bench.devices()
        assert [device.state for device in devices] == ["proved"] * 2
        assert {device.unique_id for device in devices} == {
            board["unique_id"] for board in bench.boards
        }
        again = bench.run("run", "--count", "2", "--json")
        assert again.returncode == 0, again.stderr + again.stdout
        assert [one.certificate for one in bench.devices()] == [one.certificate for one in devices]


def test_on_a_mixed_bench_each_board_gets_a_line_of_its_own_kind(
    made: Project, tmp_path: Path
) -> None:
    keep()
    (made.root / "line.csv").write_text(
        "id,board,count\ngate-{number:02},pico-w,2\npump-{number:02},esp32,2\n"
    )
    runtime = tmp_path / "runtime"
    with picos(made, tmp_path, 2) as bench, fleetdesk.bench(made, runtime, 2):
        done = bench.run("run", "line.csv", "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        devices = {device.device_id: device for device in bench.devices()}
    assert {name: device.state for name, device in devices.items()} == dict.fromkeys(
        ("gate-01", "gate-02", "pump-01", "pump-02"), "proved"
    )
    for name, device in devices.items():
        assert (device.chip == "RP2040") == name.startswith("gate"), device
