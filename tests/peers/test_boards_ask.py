"""Asking virtual boards what they are: the real MicroPython at a REPL, the real esptool."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.boardtools import console, read_until, settled
from support.commands import run

from firmshake.boards import ask, discover
from firmshake.boards.row import Row
from firmshake.boards.seen import Port
from firmshake.repl.rawrepl import connected
from firmshake.virtual import Faults, VirtualBoard, VirtualPico

PATIENCE_S = 60
MAC = "24:0a:c4:12:34:56"


def asked(url: str) -> Row:
    # pyserial's own limit for an acknowledgement is 3 s, in esptool too
    (row,) = discover.rows([Port(f"{url}?timeout={PATIENCE_S}")], [])
    assert row.state == "unknown"
    return ask.of(row)


@pytest.fixture
def board() -> Iterator[VirtualBoard]:
    """A board at its prompt."""
    with VirtualBoard() as board:
        settled(board.url)
        yield board


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take its time with an answer that comes."""
    monkeypatch.setattr(ask, "REPL_S", PATIENCE_S)


@pytest.mark.usefixtures("answers")
def test_micropython_says_what_it_is(board: VirtualBoard) -> None:
    row = asked(board.url)
    assert (row.state, row.unique_id, row.chips) == ("micropython", MAC, ("ESP32",))
    assert row.boards == ("esp32",)
    assert row.version.startswith("1.")
    assert row.note == ""


COUNTS = """
import time
try:
    n = int(open("/count").read())
except OSError:
    n = 0
with open("/count", "w") as file:
    file.write(str(n + 1))
# to whoever opens the port, at whatever time
while True:
    print("start", n + 1)
    time.sleep_ms(50)
"""


@pytest.mark.usefixtures("answers")
def test_what_ran_before_is_started_again(board: VirtualBoard) -> None:
    with connected(board.url, limit_s=PATIENCE_S) as repl:
        repl.run(f"with open('/main.py', 'w') as file: file.write({COUNTS!r})")
    asked(board.url)
    with console(board.url) as port:
        read_until(port, b"start 1\r\n")


def test_a_blank_board_is_asked_through_its_boot_loader() -> None:
    with VirtualBoard(blank=True) as board:
        row = asked(board.url)
    assert (row.state, row.unique_id, row.chips) == ("bootloader", MAC, ("ESP32",))
    assert row.note == "no firmware"


@pytest.mark.parametrize(("chip", "name"), [("ESP32-S3", "esp32-s3"), ("ESP32-C3", "esp32-c3")])
def test_other_chips_of_the_family_are_told_apart(chip: str, name: str) -> None:
    with VirtualBoard(chip=chip, blank=True) as board:
        row = asked(board.url)
    assert (row.chips, row.boards) == ((chip,), (name,))


def test_a_board_with_a_dead_repl_is_asked_through_its_boot_loader() -> None:
    with VirtualBoard(faults=Faults(dead_repl=True)) as board:
        row = asked(board.url)
    assert (row.state, row.unique_id) == ("micropython", MAC)
    assert row.note == "its prompt does not answer"


def test_a_port_that_nobody_serves_is_a_row_that_says_so(board: VirtualBoard) -> None:
    # it keeps its number, which after its end might be another one's
    board.unplug()
    row = asked(board.url)
    assert (row.state, row.unique_id) == ("unknown", None)
    assert "nothing serves a port" in row.note


def test_a_busy_port_is_left_alone(board: VirtualBoard) -> None:
    (row,) = discover.rows([Port(board.url, holder="picocom (pid 12)")], [])
    assert ask.of(row) == row


@pytest.mark.usefixtures("answers")
def test_a_pico_in_bootsel_is_its_drive_and_later_its_repl(tmp_path: Path) -> None:
    drive = tmp_path / "RPI-RP2"
    with VirtualPico(drive=drive, blank=True):
        (row,) = json.loads(run("boards", drive, "--json").out)
        assert (row["state"], row["chips"]) == ("uf2", ["RP2040"])
    with VirtualPico(drive=tmp_path / "other", blank=False) as pico:
        (row,) = json.loads(run("boards", pico.url, "--probe", "--json").out)
    assert (row["state"], row["unique_id"]) == ("micropython", "e6614c311b45922a")
    assert row["boards"] == ["pico-w"]


@pytest.mark.usefixtures("answers")
def test_the_command_asks_a_port_only_on_request(board: VirtualBoard) -> None:
    before = run("boards", board.url)
    assert "--probe" in before.err
    assert MAC not in before.out
    assert MAC in run("boards", board.url, "--probe").out
