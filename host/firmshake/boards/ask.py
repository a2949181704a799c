"""Asks a board what it is, where that cannot be told from outside. This interrupts its program.

First its REPL, then, where none answers, its boot loader through esptool. What ran before is
started again in the end.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from firmshake import flash, serialport
from firmshake.boards import drivefiles, uniqueid
from firmshake.boards.row import Row, RowState
from firmshake.boards.table import BOARDS, Board, Family
from firmshake.errors import Error

# a board that is at its prompt, or stops for Ctrl-C, answers within one second
REPL_S = 4.0
# the one speed at which every adapter and boot loader works; little has to be read
_BAUD = flash.BAUDS[-1]
_CTRL_D = b"\x04"


def of(row: Row) -> Row:
    """Return the row with what the board says of itself; a note says why where it says nothing.

    A row without a serial port, or whose port somebody else has open, is returned as it is.
    """
    if not row.ports or row.busy_by:
        return row
    port = row.ports[0]
    try:
        return _asked_repl(row, port)
    except Error as silent:
        if row.chips and not any(_family(chip) == "esp" for chip in row.chips):
            return replace(row, note=silent.message)
    try:
        return _asked_bootloader(row, port)
    except Error as error:
        return replace(row, note=error.message)


def _asked_repl(row: Row, port: str) -> Row:
    from firmshake.repl.rawrepl import RawRepl
    from firmshake.repl.running import ask
    from firmshake.repl.wire import Wire

    with serialport.open_port(port) as opened:
        repl = RawRepl(Wire(opened))
        repl.enter(REPL_S, may_reset=False)
        told = ask(repl)
        repl.leave()
        # a soft reset, which starts main.py or code.py
        repl.wire.write(_CTRL_D)
    chip = drivefiles.chip_in(told.chip, told.machine)
    boards = _boards(chip, told.machine)
    family = _family(chip)
    state: RowState = "circuitpython" if told.runtime == "circuitpython" else "micropython"
    found = row.unique_id
    if found is None and family is not None:
        uid = told.unique_id
        found = (
            uniqueid.of_boot_out(uid, "", family)
            if state == "circuitpython"
            else uniqueid.of_usb(uid, family, "micropython")
        )
    return replace(
        row,
        state=state,
        unique_id=found,
        chips=(chip,) if chip else row.chips,
        boards=tuple(board.name for board in boards) or row.boards,
        title=told.machine or row.title,
        version=told.version,
        note="",
    )


def _asked_bootloader(row: Row, port: str) -> Row:
    try:
        board = flash.probe(port, _BAUD)
    finally:
        with contextlib.suppress(Error, OSError), serialport.open_port(port) as opened:
            serialport.reset(opened)
    state, note = _of_flash(board)
    return replace(
        row,
        state=state,
        unique_id=board.mac,
        chips=(board.chip,),
        boards=tuple(each.name for each in _boards(board.chip, "")),
        title=board.description,
        note=note,
    )


def _of_flash(board: flash.Board) -> tuple[RowState, str]:
    if board.app is None:
        return "bootloader", "no firmware"
    if board.app.is_micropython:
        return "micropython", "its prompt does not answer"
    return "unknown", f"it runs {board.app.project or 'something else'}"


def _boards(chip: str | None, machine: str) -> tuple[Board, ...]:
    found = tuple(board for board in BOARDS if board.chip == chip)
    return tuple(board for board in found if board.machine == machine) or found


def _family(chip: str | None) -> Family | None:
    return next((board.family for board in BOARDS if board.chip == chip), None)
