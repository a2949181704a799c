"""Boards that are plugged in, a kind for each way onto one, and what provisions them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from firmshake import provision, uf2
from firmshake.firmwares.identify import File, identify
from firmshake.image import Run
from firmshake.project import Project
from firmshake.virtual import VirtualBoard, VirtualCircuitPython, VirtualPico, Wifi, rp2
from firmshake.virtual.body import Body
from firmshake.ways import choose
from firmshake.ways import repl as repl_way
from firmshake.ways.choose import Wish
from support import desk
from support.boardtools import wait_until
from support.desk import Notes

AIR = Wifi(desk.SHED.ssid, desk.SHED.password)
_LIMIT_S = 60.0  # only a broken test waits so long


class Plugged(NamedTuple):
    """A board, and what to wish for to have it provisioned; `drive` is there while it shows one."""

    board: Body
    wish: Wish
    drive: Path | None = None


Plug = Callable[..., contextlib.AbstractContextManager[Plugged]]


@contextlib.contextmanager
def esptool(folder: Path, **more: Any) -> Iterator[Plugged]:
    with VirtualBoard(wifi=AIR, faster_than_life=True, **more) as board:
        yield Plugged(board, Wish(board.url, "esptool"))


@contextlib.contextmanager
def repl(folder: Path, **more: Any) -> Iterator[Plugged]:
    drive = folder / "RPI-RP2"
    with VirtualPico(drive=drive, blank=False, wifi=AIR, faster_than_life=True, **more) as board:
        yield Plugged(board, Wish(board.url))


@contextlib.contextmanager
def uf2_drive(folder: Path, **more: Any) -> Iterator[Plugged]:
    drive = folder / "RPI-RP2"
    with VirtualPico(drive=drive, wifi=AIR, faster_than_life=True, **more) as board:
        plugged = Plugged(board, Wish(str(drive), file=firmware(), console=board.url), drive)
        shown(plugged)
        yield plugged


@contextlib.contextmanager
def circuitpython_drive(folder: Path, **more: Any) -> Iterator[Plugged]:
    drive = folder / "CIRCUITPY"
    with VirtualCircuitPython(drive=drive, wifi=AIR, faster_than_life=True, **more) as board:
        plugged = Plugged(board, Wish(str(drive), console=board.url), drive)
        shown(plugged)
        yield plugged


@contextlib.contextmanager
def circuitpython_repl(folder: Path, **more: Any) -> Iterator[Plugged]:
    with VirtualCircuitPython(board="esp32-c3", wifi=AIR, faster_than_life=True, **more) as board:
        yield Plugged(board, Wish(board.url))


WAYS: dict[str, Plug] = {
    "esptool": esptool,
    "repl": repl,
    "uf2": uf2_drive,
    "drive": circuitpython_drive,
    "circuitpython-repl": circuitpython_repl,
}


def firmware(board: str = "pico-w") -> File:
    """A UF2 file that stands for MicroPython."""
    model = rp2.pico(board)
    runs = [Run(rp2.FLASH_BASE, rp2.standin(model))]
    return identify(uf2.write(runs, model.families[0]))


def shown(plugged: Plugged) -> None:
    """Wait until the drive is there, if it is one."""
    if plugged.drive is not None:
        drive_shown(plugged.drive)


def drive_shown(drive: Path) -> None:
    """Wait until a board's drive is there."""
    known_by = ("INFO_UF2.TXT", "boot_out.txt")
    wait_until(lambda: any((drive / name).exists() for name in known_by))


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """A board is asked until it answers at its REPL: it does, but may be slow on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "asked", functools.partial(repl_way.asked, limit_s=_LIMIT_S))
        yield


def provisioned(
    made: Project, wish: Wish, notes: Notes | None = None, **more: Any
) -> provision.Outcome:
    """As the command does it."""
    return desk.provisioned(made, wish, notes or Notes(), **more)
