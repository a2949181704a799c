"""Finds MicroPython for a board among what is kept: what fleet.toml pins, or the newest."""

from __future__ import annotations

from collections.abc import Callable

from firmshake.boards.table import MICROPYTHON, Board
from firmshake.firmwares import store
from firmshake.firmwares.identify import File
from firmshake.project import Project


def finder(project: Project) -> Callable[[Board], File | None]:
    """Return what finds it; that raises Error where what is pinned is not there."""

    def find(board: Board) -> File | None:
        kept = store.Store(store.default_folder())
        pin = project.firmware.get((MICROPYTHON, board.name))
        if pin is not None:
            return store.wanted(kept, board, MICROPYTHON, pin.sha256)
        return kept.find(board, MICROPYTHON)

    return find
