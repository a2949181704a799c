"""`firmshake virtual --boards N`: many boards in one command, found by others, and their end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import serial
from support import desk
from support.boardtools import console, done, mpremote, read_until, settled, wait_until
from support.servers import free_port

from firmshake import uf2
from firmshake.boards import bench
from firmshake.firmwares.identify import identify
from firmshake.image import Run
from firmshake.project import load
from firmshake.virtual import nor, rp2
from firmshake.ways.choose import Wish

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    monkeypatch.setenv(bench.FOLDER_VARIABLE, str(folder))
    return folder


@contextmanager
def virtual(
    *options: object, folder: Path | None = None, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "firmshake", "virtual", *map(str, options)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, **(environment or {})},
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def boards_of(run: subprocess.Popen[str]) -> list[dict[str, Any]]:
    assert run.stdout is not None
    line = run.stdout.readline()
    assert line, run.stderr.read() if run.stderr else ""
    found: list[dict[str, Any]] = json.loads(line)["boards"]
    return found


def ended(run: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    """What it says from the signal on; with the status of that."""
    run.send_signal(number)
    rest, complaint = run.communicate(timeout=PATIENCE_S)
    assert rest == ""
    assert "Traceback" not in complaint
    assert run.returncode == 128 + number
    return complaint


def is_refused(url: str) -> bool:
    host, _, port = url.removeprefix("rfc2217://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def test_each_board_has_an_address_and_a_port_of_its_own() -> None:
    with virtual("--boards", 3, "--json") as run:
        boards = boards_of(run)
        assert [board["unique_id"] for board in boards] == [
            "240ac4123456",
            "240ac412345a",
            "240ac412345e",
        ]
        assert len({board["port"] for board in boards}) == 3
        for board in (boards[0], boards[2]):
            mac = ":".join(board["unique_id"][at : at + 2] for at in range(0, 12, 2))
            assert mac in done(board["port"], "--after", "no-reset", "read-mac")
        ended(run)
    assert all(is_refused(board["port"]) for board in boards)


def test_other_commands_find_them_until_they_end(runtime: Path) -> None:
    with virtual("--boards", 2) as run:
        assert run.stdout is not None
        lines = [run.stdout.readline().split() for _ in range(3)]
        assert lines[0] == ["no.", "board", "unique", "id", "port", "drive"]
        shown = [line[3] for line in lines[1:]]
        listed = subprocess.run(
            [sys.executable, "-m", "firmshake", "boards", "--json"],
            capture_output=True,
            text=True,
            check=True,
        )
        rows = json.loads(listed.stdout)
        assert [row["ports"] for row in rows] == [[url] for url in shown]
        assert {row["title"] for row in rows} == {"virtual ESP32"}
        assert {row["unique_id"] for row in rows} == {None}
        assert "fleet run --count 2" in ended(run)
    assert bench.announced() == []
    assert list(runtime.iterdir()) == []


def test_a_killed_command_takes_its_boards_along_and_is_found_out(runtime: Path) -> None:
    with virtual("--boards", 2, "--json") as run:
        boards = boards_of(run)
        assert len(bench.announced()) == 2
        run.kill()
        run.wait()
        wait_until(lambda: all(is_refused(board["port"]) for board in boards))
        assert bench.announced() == []
        assert list(runtime.iterdir()) == []


@pytest.mark.parametrize(("after_s", "comes_back"), [(3600, False), (0.2, True)])
def test_a_board_that_is_unplugged_is_gone_or_comes_back(after_s: float, comes_back: bool) -> None:
    fault = ("--fault", "2:unplug-at=100", "--replug-after", after_s)
    with virtual("--boards", 2, "--json", *fault) as run:
        first, second = (board["port"] for board in boards_of(run))
        with console(second) as port:
            port.write(bytes(200))
            with pytest.raises(serial.SerialException):
                read_until(port, b"what no board says")
        there = [first, second] if comes_back else [first]
        wait_until(lambda: [port.device for port in bench.announced()] == there)
        wait_until(lambda: is_refused(second) != comes_back)
        ended(run)


def test_picos_have_a_drive_each_and_leave_none_behind(tmp_path: Path) -> None:
    drives = tmp_path / "drives"
    with virtual("--boards", 2, "--board", "pico-w", "--drive", drives, "--json") as run:
        boards = boards_of(run)
        assert [board["drive"] for board in boards] == [str(drives / "001"), str(drives / "002")]
        assert [board["port"] for board in boards] == [None, None]
        found = bench.announced_drives()
        assert [drive.path for drive in found] == [board["drive"] for board in boards]
        assert all("RPI-RP2" in drive.info_uf2 for drive in found)
        ended(run, signal.SIGTERM)
    assert not drives.exists()


def test_the_flash_of_each_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    with virtual("--boards", 2, "--flash", kept, "--blank", "--json") as run:
        second = boards_of(run)[1]
        (tmp_path / "data").write_bytes(b"kept" * 1024)
        done(second["port"], "write-flash", "0x10000", str(tmp_path / "data"))
        ended(run)
    assert sorted(path.name for path in kept.iterdir()) == ["001.bin", "002.bin"]
    assert (kept / "002.bin").read_bytes()[0x10000:][:4] == b"kept"
    assert set((kept / "001.bin").read_bytes()) == {nor.ERASED}


def second_of_two() -> int:
    """A port that is free, as is the one below it."""
    ports = {free_port()}
    while not (pairs := {port for port in ports if port - 1 in ports}):
        ports.add(free_port())
    return pairs.pop()


def test_a_board_that_cannot_be_had_ends_them_all(tmp_path: Path) -> None:
    with socket.socket() as taken:
        port = second_of_two()
        taken.bind(("127.0.0.1", port))
        with virtual("--boards", 3, "--port", port - 1) as run:
            _, complaint = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1
    assert f"port {port}" in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--boards", "0"], "0 is not in the range"),
        (["--boards", "257"], "257 is not in the range"),
        (["--boards", "2", "--raw-port", "0"], "--raw-port is for one board"),
        (["--boards", "2", "--fault", "3:busy"], "not among 2"),
        (["--boards", "2", "--fault", "2:nonsense"], "no fault is named 'nonsense'"),
        (["--boards", "2", "--board", "pico-w"], "--drive FOLDER"),
        (["--boards", "2", "--project", "nowhere"], "no project in nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, options: list[str], complaint: str) -> None:
    with virtual(*options, folder=tmp_path) as run:
        out, said = run.communicate(timeout=PATIENCE_S)
    assert (run.returncode in (1, 2), out) == (True, "")
    assert complaint in said
    assert "Traceback" not in said


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return desk.make_project(tmp_path / "fleet").root


def listens(project: Path) -> bool:
    return not is_refused(f"rfc2217://127.0.0.1:{load(project).broker.port}")


def test_in_a_project_its_broker_runs_for_as_long_as_the_boards(project: Path) -> None:
    with virtual("--boards", 1, "--json", folder=project) as run:
        boards_of(run)
        assert listens(project)
        assert "started the project's mosquitto" in ended(run)
    assert not listens(project)


def test_a_broker_that_runs_already_is_left_alone(project: Path) -> None:
    with virtual("--boards", 1, "--json", folder=project) as first:
        boards_of(first)
        with virtual("--boards", 1, "--json", "--project", project) as second:
            boards_of(second)
            assert "mosquitto" not in ended(second)
        assert listens(project)
        ended(first)


def test_without_a_mosquitto_the_boards_run_all_the_same(project: Path) -> None:
    nothing = {"FIRMSHAKE_TOOLS": str(project), "PATH": "/nowhere"}
    with virtual(
        "--boards", 1, "--circuitpython", "--json", folder=project, environment=nothing
    ) as run:
        (board,) = boards_of(run)
        assert not is_refused(board["port"])
        assert not listens(project)
        assert "the project's broker is not started: " in ended(run)


def test_the_air_has_the_projects_wifi(project: Path) -> None:
    code = "import network; print(network.WLAN(network.STA_IF).scan()[0][0])"
    with virtual("--boards", 1, "--json", folder=project) as run:
        (board,) = boards_of(run)
        assert mpremote(settled(board["port"]), "exec", code) == "b'shed'\n"
        ended(run)


def test_two_picos_that_restart_at_once_are_not_taken_for_each_other(
    project: Path, tmp_path: Path
) -> None:
    model = rp2.pico("pico-w")
    runs = [Run(rp2.FLASH_BASE, rp2.standin(model))]
    firmware = identify(uf2.write(runs, model.families[0]))
    options = ("--board", "pico-w", "--drive", tmp_path / "drives", "--faster-than-life", "--json")
    made = load(project)

    def provisioned(drive: str) -> str:
        wish = Wish(drive, file=firmware)
        outcome = desk.provisioned(made, wish, desk.Notes(), device_id=f"pico-{drive[-1]}")
        assert outcome.verdict.verdict == "ready"
        return outcome.mac

    with virtual("--boards", 2, *options, folder=project) as run:
        boards = boards_of(run)
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(provisioned, [board["drive"] for board in boards]))
        assert found == [board["unique_id"] for board in boards]
        ended(run)
