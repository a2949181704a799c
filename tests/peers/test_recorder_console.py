"""`firmshake console --recorder` at virtual boards: what failed, explained, and they go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from serial import SerialBase
from support import desk, plugged
from support.boardtools import console, read_until, wait_until
from support.commands import run

from firmshake import recorder, recorderdump
from firmshake.project import Project
from firmshake.repl.rawrepl import connected
from firmshake.repl.reading import read
from firmshake.virtual import VirtualBoard
from firmshake.virtual.fault import Faults
from firmshake.ways.repl import restarted


@pytest.fixture
def made(tmp_path: Path) -> Project:
    """A project whose broker does not run."""
    return desk.make_project(tmp_path / "fleet")


@contextmanager
def failing(made: Project, folder: Path) -> Iterator[VirtualBoard]:
    """A board that has failed to reach its broker."""
    flash = folder / "flash"
    flash.write_bytes(desk.flash_of(made))
    with VirtualBoard(flash=flash, wifi=plugged.AIR, faster_than_life=True) as board:
        fails_at(board.url)
        yield board


def fails_at(url: str) -> None:
    """Wait until the climb of the board has failed, and is on record: it says so afterwards."""
    with console(url) as port:
        read_until(port, b"tcp fail ")
        read_until(port, b" boot info retry_ms=")


def test_what_failed_is_explained_and_the_board_goes_on(made: Project, tmp_path: Path) -> None:
    with failing(made, tmp_path) as board:
        done = run("console", "--recorder", board.url)
        assert done.status == 0, done.err
        head, why = done.out.splitlines()[:2]
        assert head.split()[1] == "tcp/refused"
        assert head.endswith("s after start 1"), "no time server was heard"
        assert why.split()[:3] == ["why", "127.0.0.1", "(127.0.0.1)"]
        assert "    fix  Check the port" in done.out
        fails_at(board.url)
        (line,) = run("console", "--recorder", "--json", board.url).out.splitlines()
        told = json.loads(line)
        assert (told["port"], told["verdict"], told["at"]) == (board.url, "tcp/refused", None)
        assert told["evidence"]["port"] == str(made.broker.port)
        assert told["sent"] is False
        fails_at(board.url)


def test_no_secret_is_in_the_recorder(made: Project, tmp_path: Path) -> None:
    word = desk.SHED.password
    assert word
    with failing(made, tmp_path) as board, connected(board.url) as repl:
        settings = read(repl, "/firmshake/settings.json")
        assert settings
        assert word.encode() in settings, "the control"
        file = read(repl, recorder.PATH)
    assert file
    assert b"tcp fail" in file
    assert word.encode() not in file


def test_a_board_that_never_failed_has_nothing_on_record() -> None:
    with VirtualBoard() as board:
        done = run("console", "--recorder", board.url)
        assert (done.status, done.out) == (0, "")
        assert f"the board on {board.url} has no failure on record" in done.err


def test_a_board_whose_repl_is_dead_is_told_and_the_next_is_read(
    made: Project, tmp_path: Path
) -> None:
    with (
        VirtualBoard(faults=Faults(dead_repl=True)) as dead,
        failing(made, tmp_path) as board,
    ):
        done = run("console", "--recorder", "--json", dead.url, board.url)
        assert done.status == 1
        assert dead.url in done.message
        assert json.loads(done.out)["port"] == board.url


@pytest.mark.parametrize("words", [["--reset"], ["--search", "x"], ["--log", "file"]])
def test_what_has_no_meaning_for_a_recorder_is_refused(words: list[str]) -> None:
    done = run("console", "--recorder", *words, "/dev/null")
    assert done.status == 2
    assert done.message == "--recorder goes with --baud and --json only"


@pytest.mark.parametrize("way", ["repl", "circuitpython-repl"])
def test_a_board_with_records_counts_as_provisioned_and_a_new_identity_has_none(
    made: Project, tmp_path: Path, way: str
) -> None:
    with plugged.WAYS[way](tmp_path) as (board, wish, _):
        with desk.broker(made):
            first = plugged.provisioned(made, wish, device_id="board-1")
            assert first.verdict.verdict == "ready"
        fails_at(board.url)
        assert "tcp/refused" in verdicts(board.url)
        with desk.broker(made):
            second = plugged.provisioned(made, wish)
            assert (second.written, second.verdict.verdict) == (False, "ready")
            wait_until(lambda: are_sent(board.url))
            third = plugged.provisioned(made, wish, device_id="board-1", force=True)
            assert (third.written, third.verdict.verdict) == (True, "ready")
            assert "tcp/refused" not in verdicts(board.url)


def test_what_circuitpython_may_not_write_it_does_without(made: Project, tmp_path: Path) -> None:
    """The computer has its drive."""
    with plugged.WAYS["drive"](tmp_path) as (board, wish, drive):
        assert drive is not None
        with desk.broker(made):
            first = plugged.provisioned(made, wish, device_id="board-1")
            assert first.verdict.verdict == "ready"
        fails_at(board.url)
        assert not (drive / "firmshake" / "recorder").exists()


def are_sent(url: str) -> bool:
    """Whether a broker has the board's records, after a climb that reached it."""
    with restarted(url) as port:
        read_until(cast(SerialBase, port), b" ready ok ")
    records = recorderdump.fetch(url).records
    assert "tcp/refused" in [record.verdict for record in records]
    return all(record.sent for record in records)


def verdicts(url: str) -> list[str]:
    return [record.verdict for record in recorderdump.fetch(url).records]
