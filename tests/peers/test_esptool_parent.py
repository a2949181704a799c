"""Runs of esptool that one process forks: the same as started ones, and no less mortal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.boardtools import wait_until

from firmshake import esptool_runs, flash
from firmshake.errors import Error
from firmshake.image import Run
from firmshake.virtual import VirtualBoard

FILESYSTEM = 0x200000


@pytest.fixture
def parent() -> Iterator[socket.socket]:
    with esptool_runs.parent(flash.environment()) as asked:
        if asked is None:  # not Linux: every run is started, as in the other tests
            return
        esptool_runs.use(asked)
        yield asked
    esptool_runs.use(None)


@pytest.fixture
def board() -> Iterator[VirtualBoard]:
    with VirtualBoard(faster_than_life=True) as made:
        yield made


def children() -> set[int]:
    """The processes that are descendants of this one."""
    found, rest = set(), [os.getpid()]
    while rest:
        pid = rest.pop()
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                rest += (own := [int(word) for word in file.read().split()])
            found |= set(own)
        except OSError:
            pass
    return found


@pytest.mark.usefixtures("parent")
def test_a_board_is_read_and_written_by_forked_runs(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(esptool_runs, "_program", None)
    found = flash.probe(board.url)
    assert (found.chip, found.mac) == ("ESP32", board.mac)
    data = os.urandom(9000)
    done: list[int] = []
    flash.write(board.url, [Run(FILESYSTEM, data)], lambda part, _: done.append(part))
    assert board.flash.read(FILESYSTEM, 9000) == data
    assert done[-1] == 9000


def test_a_run_spells_out_no_packet_that_nobody_reads() -> None:
    program = (
        "import runpy, sys; from firmshake import esptool_child;"
        "runpy.run_module = lambda *_, **__: None;"
        "esptool_child.main() if sys.argv[1:] else None;"
        "from esptool.loader import HexFormatter; print(len(str(HexFormatter(bytes(40)))))"
    )
    command = [sys.executable, "-P", "-c", program]
    plain, ours = (
        int(subprocess.run([*command, *more], capture_output=True, check=True).stdout)
        for more in ([], ["version"])
    )
    assert plain > 80
    assert ours == 0


@pytest.mark.usefixtures("parent")
def test_what_fails_is_told_as_ever() -> None:
    with pytest.raises(Error, match="there is no port /dev/absent"):
        flash.probe("/dev/absent")


@pytest.mark.usefixtures("parent")
def test_an_interrupted_run_leaves_no_process_behind(board: VirtualBoard) -> None:
    flash.probe(board.url)
    before = children()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flash.write(board.url, [Run(FILESYSTEM, os.urandom(99_000))], interrupt)
    wait_until(lambda: not [pid for pid in children() - before if _is_python(pid)])


@pytest.mark.usefixtures("parent")
def test_a_killed_run_is_a_failed_one() -> None:
    # one that goes on for ever: nobody answers it
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"socket://127.0.0.1:{silent.getsockname()[1]}"
        endless = ["--connect-attempts", "0", "--port", url, "read-mac"]
        run = esptool_runs.start(endless, [], flash.environment())
        run.kill()
        assert run.wait() == -signal.SIGKILL
    again = esptool_runs.start(["version"], [], flash.environment())
    assert again.stdout is not None
    assert b"esptool" in again.stdout.read()
    assert again.wait() == 0
    again.kill()


def test_without_its_parent_a_run_is_started_as_a_program(
    parent: socket.socket, board: VirtualBoard
) -> None:
    pid = the_parent()
    os.kill(pid, signal.SIGKILL)
    assert flash.probe(board.url).mac == board.mac
    assert parent.fileno() >= 0


def test_a_parent_ends_with_whom_it_works_for() -> None:
    with esptool_runs.parent(flash.environment()):
        pid = the_parent()
    wait_until(lambda: pid not in children())


def the_parent() -> int:
    """Its process, which for a moment after its start has no command to be known by."""
    wait_until(lambda: any(_is_parent(pid) for pid in children()))
    (pid,) = {pid for pid in children() if _is_parent(pid)}
    return pid


def _is_parent(pid: int) -> bool:
    return "firmshake.esptool_parent" in _command(pid)


def _is_python(pid: int) -> bool:
    return "esptool" in _command(pid)


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode()
    except OSError:
        return ""
