"""For boards that can't tell who they are before they run: firmware first, and all else after it.

A Pico in its boot loader says nothing of itself. It gets MicroPython as it is published, with
nothing of any device in it, and comes back as a board that can be asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from firmshake.errors import Error
from firmshake.ways import choose
from firmshake.ways.choose import Wish
from firmshake.ways.uf2 import Uf2
from firmshake.ways.way import Watcher


class Elsewhere(Error):
    """The board has its firmware, and is one of those that have just come as serial ports."""


def written(
    wish: Wish, watcher: Watcher, check_wanted: Callable[[str], None] = lambda chip: None
) -> Wish:
    """Return the wish for a board that tells who it is: `wish` itself, if it is that already.

    `check_wanted` is given the chip of one that does not tell, and raises Error where nothing is to
    be written to it.

    Raises Elsewhere where the system does not tell which port a drive has become, and Error where
    there is no firmware for the board, or it does not come back.
    """
    is_drive = wish.target is not None and os.path.isdir(wish.target)
    if not is_drive or wish.via not in (None, choose.REPL):
        return wish
    way = choose.choose(replace(wish, via=None), watcher)
    if not isinstance(way, Uf2):
        return wish
    check_wanted(way.seen.chip)
    firmware = way.firmware()
    watcher.reached("firmware")
    port = way.write_firmware(watcher)
    if port is None:
        raise Elsewhere(f"it has {firmware.title}, and comes back as a serial port")
    watcher.step(f"it runs {firmware.title}")
    return replace(wish, target=port)
