"""Some virtual boards in a process of their own, which tells what can be seen of them.

It lives until its parent closes a pipe, or is dead, which closes it too.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict

from firmshake import interrupts
from firmshake.boards.bench import Shows, Sight
from firmshake.boards.table import CIRCUITPYTHON, MICROPYTHON
from firmshake.errors import Error
from firmshake.virtual.circuitboard import VirtualCircuitPython
from firmshake.virtual.devkit import VirtualBoard
from firmshake.virtual.pico import VirtualPico

Board = VirtualBoard | VirtualPico | VirtualCircuitPython
Make = Callable[[], Board]

# what a line to the parent holds
SIGHT, READY, ERROR = "sight", "ready", "error"


def live(makers: Mapping[int, Make], tell: int, until: int) -> int:
    """Be the boards, by their numbers, until the pipe `until` ends: the exit status.

    Lines of JSON go to the pipe `tell`.
    """
    # Ctrl-C in a terminal reaches us as well; it is the parent's to end us
    interrupts.ignore_all()
    with os.fdopen(tell, "w", encoding="utf-8") as out:
        teller = _Teller(out.write, out.flush)
        try:
            with contextlib.ExitStack() as stack:
                for number, make in makers.items():
                    board = make()
                    teller.watch(number, board)
                    stack.enter_context(board)
                teller.say(READY, True)
                os.read(until, 1)
        except Error as error:
            teller.say(ERROR, [error.message, error.hint, error.status])
            return error.status
        except Exception:  # noqa: BLE001  a fork has nobody above it that would show it
            traceback.print_exc(file=sys.stderr)
            return 1
    return 0


class _Teller:
    """Tells the parent; the boards call from threads of their own."""

    def __init__(self, write: Callable[[str], int], flush: Callable[[], None]) -> None:
        self._write, self._flush = write, flush
        self._lock = threading.Lock()
        self._last: dict[int, Sight] = {}

    def watch(self, number: int, board: Board) -> None:
        def look() -> None:
            seen = sight(number, board)
            if self._last.get(number) != seen:
                self._last[number] = seen
                self.say(SIGHT, asdict(seen))

        board.on_change = look
        drive = getattr(board, "drive", None)
        if drive is not None:
            drive.on_change = look

    def say(self, what: str, value: object) -> None:
        # a parent that is dead needs to be told nothing
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._write(json.dumps({what: value}) + "\n")
            self._flush()


def sight(number: int, board: Board) -> Sight:
    """What can be seen of a board now."""
    name, drive, unique_id = _known(board)
    return Sight(
        number=number,
        board=name,
        runtime=CIRCUITPYTHON if isinstance(board, VirtualCircuitPython) else MICROPYTHON,
        shows=_shows(board),
        port=board.port if board.is_shown else None,
        drive=drive,
        unique_id=unique_id,
    )


def _known(board: Board) -> tuple[str, str | None, str]:
    """Name in the table of boards, drive while there is one, unique id."""
    if isinstance(board, VirtualBoard):
        return board.model.name.lower(), None, board.mac
    name = board.model.name if isinstance(board, VirtualPico) else board.board.name
    is_there = board.drive is not None and board.drive.is_shown
    return name, str(board.drive.folder) if board.drive and is_there else None, board.unique_id


def _shows(board: Board) -> Shows:
    if not board.is_usb:
        return "adapter"
    if isinstance(board, VirtualCircuitPython):
        return "circuitpython"
    return "bootloader" if isinstance(board, VirtualPico) and board.is_drive else "micropython"
