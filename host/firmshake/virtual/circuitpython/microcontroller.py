"""CircuitPython's `microcontroller`: the chip's number, and its reset."""

from __future__ import annotations

from . import board


class Processor:
    """`microcontroller.cpu`."""

    @property
    def uid(self) -> bytes:
        """The chip's number."""
        return bytes(board.settings["uid"])

    frequency = 150_000_000


cpu = Processor()


class RunMode:
    """What `on_next_reset` may ask for; here the board always starts as it does."""

    NORMAL = 0
    SAFE_MODE = 1
    UF2 = 2
    BOOTLOADER = 3


def on_next_reset(mode: int) -> None:
    """Taken, and forgotten."""


def reset() -> None:
    """As from power-on."""
    board.leave(board.HARD_RESET)
