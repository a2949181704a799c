"""`firmshake console --recorder` at virtual boards: what failed there, explained, and it goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import desk, plugged
from support.boardtools import console, read_until, wait_until
from support.commands import run
from support.desk import Notes

from firmshake import recorderdump
from firmshake.project import Project
from firmshake.virtual import VirtualBoard
from firmshake.virtual.fault import Faults


@pytest.fixture
def made(tmp_path: Path) -> Project:
    """A project whose broker does not run."""
    return desk.make_project(tmp_path / "fleet")


def refused_at(url: str, count: int = 1) -> None:
    """Wait until the board's climb has failed so often."""
    with console(url) as port:
        for _ in range(count):
            read_until(port, b" boot info retry_ms=")


def climbs_again(url: str) -> None:
    with console(url) as port:
        read_until(port, b" tcp fail ")


def test_what_failed_is_explained_and_the_board_goes_on(made: Project) -> None:
    with VirtualBoard(wifi=plugged.AIR, faster_than_life=True) as board:
        board.flash.program(0, desk.flash_of(made))
        with console(board.url) as port:
            board.press_reset()
            read_until(port, b" boot info retry_ms=")
        done = run("console", "--recorder", board.url)
        assert done.status == 0, done.err
        assert "✗ tcp/refused  once, 2" not in done.out, "no time server was heard"
        assert "tcp/refused  once, " in done.out
        assert "s after start 1" in done.out
        assert "why  127.0.0.1 (127.0.0.1) refuses connections" in done.out
        assert "fix  Check the port, and that the broker is running." in done.out
        climbs_again(board.url)
        told = json.loads(run("console", "--recorder", "--json", board.url).out)
        assert (told["port"], told["verdict"], told["at"]) == (board.url, "tcp/refused", None)
        assert told["evidence"]["port"] == str(made.broker.port)
        assert told["sent"] is False
        climbs_again(board.url)
        text = desk.SHED.password
        assert text
        assert text.encode() in board.flash.read(0, 4 << 20), "the control"
        assert text not in json.dumps(told)


def test_a_board_that_never_failed_has_nothing_on_record() -> None:
    with VirtualBoard() as board:
        done = run("console", "--recorder", board.url)
    assert (done.status, done.out) == (0, "")
    assert f"the board on {board.url} has no failure on record" in done.err


def test_a_board_whose_repl_is_dead_is_told(made: Project) -> None:
    with (
        VirtualBoard(faults=Faults(dead_repl=True)) as dead,
        VirtualBoard(wifi=plugged.AIR, faster_than_life=True) as board,
    ):
        board.flash.program(0, desk.flash_of(made))
        board.press_reset()
        refused_at(board.url)
        done = run("console", "--recorder", "--json", dead.url, board.url)
    assert done.status == 1
    assert dead.url in done.message
    assert "REPL" in done.message or "says nothing" in done.message
    assert json.loads(done.out)["port"] == board.url, "the other is read all the same"


@pytest.mark.parametrize("words", [["--reset"], ["--search", "x"], ["--log", "file"]])
def test_what_has_no_meaning_for_a_recorder_is_refused(words: list[str]) -> None:
    done = run("console", "--recorder", *words, "/dev/null")
    assert done.status == 2
    assert done.message == "--recorder goes with --baud and --json only"


@pytest.mark.parametrize("way", ["repl", "circuitpython-repl", "drive"])
def test_a_board_with_records_counts_as_provisioned(
    made: Project, tmp_path: Path, way: str
) -> None:
    """CircuitPython may not write while the computer has its drive: then there is no file."""
    with plugged.WAYS[way](
        tmp_path,
    ) as (board, wish, drive):
        broker = desk.broker(made)
        with broker:
            first = plugged.provisioned(made, wish, device_id="board-1")
            assert first.verdict.verdict == "ready"
        refused_at(board.url, 2)
        if way == "drive":
            assert drive is not None
            assert not (drive / "firmshake" / "recorder").exists()
            return
        found = recorderdump.fetch(board.url)
        assert {"ready/closed", "tcp/refused"} & {record.verdict for record in found.records}
        with desk.broker(made):
            notes = Notes()
            second = plugged.provisioned(made, wish, notes)
            assert not second.written
            assert second.serial_number == first.serial_number
            assert second.verdict.verdict == "ready"
            forced = plugged.provisioned(made, wish, Notes(), device_id="board-1", force=True)
            assert forced.written
        wait_until(lambda: True)
        assert [r.boot for r in recorderdump.fetch(board.url).records if r.boot > 1] == []
