"""A board with CircuitPython that starts by itself just when it is to be started."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.boardtools import PATIENCE_S, read_until

from firmshake import serialport
from firmshake.repl import restarting
from firmshake.repl.restarting import Restarted, restart
from firmshake.virtual import Faults, VirtualCircuitPython, child
from firmshake.virtual.terminal import Terminal
from firmshake.ways.repl import restarted

PROGRAM = b"import time\nprint('begun')\nwhile True:\n    print('goes on')\n    time.sleep(0.1)\n"


class Starting(VirtualCircuitPython):
    """One whose next start waits until something is sent to it, which then comes too early.

    From the end of a program until the next one runs, Ctrl-C is an ordinary byte.
    """

    held: bytes | None = None

    def hold(self) -> None:
        self.held, self.has_come = b"", asyncio.Event()

    def _take(self, data: bytes, baud: int) -> None:
        if self.held is None:
            super()._take(data, baud)
            return
        self.held += data
        self.has_come.set()

    def come_early(self, terminal: Terminal) -> None:
        if self.held:
            terminal.reset()  # as it is left at a start: nothing interrupts
            terminal.write(self.held)
            self.held = None


@pytest.fixture
def starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    ended, begun = child.Child.ended, child.Child.__init__

    async def end(one: child.Child) -> child.Mode | child.End:
        mode = await ended(one)
        if board.held is not None:
            await board.has_come.wait()
        return mode

    def begin(one: child.Child, program: Any, terminal: Terminal, *more: Any) -> None:
        board.come_early(terminal)
        begun(one, program, terminal, *more)

    monkeypatch.setattr(child.Child, "ended", end)
    monkeypatch.setattr(child.Child, "__init__", begin)
    board = Starting(drive=tmp_path / "CIRCUITPY", files={"code.py": PROGRAM})
    with board:
        yield board


def change(board: VirtualCircuitPython) -> None:
    assert board.drive is not None
    (board.drive.folder / "note.txt").write_text("new")


class Waiting(Restarted):
    """A port at which something waits to be read."""

    def write(self, data: bytes) -> None:
        self._port.write(data)


def heard(port: Any, wanted: bytes) -> bytes:
    assert isinstance(port, Restarted)
    any_port: Any = port
    return read_until(any_port, wanted)


def test_what_it_is_sent_while_it_starts_is_lost_and_sent_again(
    starting: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    # how long the start itself takes is not what this is about
    monkeypatch.setattr(restarting, "_LIMIT_S", PATIENCE_S)
    with serialport.open_port(starting.url) as port:
        read_until(port, b"goes on")
        starting.hold()
        change(starting)
        read_until(port, b"Reloading soon")
    with restarted(starting.url) as opened:
        said = heard(opened, b"begun")
    assert said.startswith(b"soft reboot\r\n")
    assert starting.held is None, "it came too early, as it should"


def test_one_that_does_not_answer_is_heard_from_its_own_start(tmp_path: Path) -> None:
    files = {"code.py": PROGRAM}
    folder = tmp_path / "CIRCUITPY"
    with (
        VirtualCircuitPython(drive=folder, files=files, faults=Faults(dead_repl=True)) as board,
        serialport.open_port(board.url) as port,
    ):
        read_until(port, b"goes on")
        change(board)
        # the port stays open, so that nothing is lost however late it is listened to
        any_port: Any = Waiting(port, read_until(port, b"begun"))
        assert heard(restart(any_port), b"begun").startswith(b"code.py output:\r\n")
