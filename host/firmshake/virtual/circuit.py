"""The two transistors of a development board, which make reset and boot mode of DTR and RTS.

Does no I/O. The truth table is that of Espressif's boards (ESP32-DevKitC schematic): with one line
asserted and the other not, RTS pulls EN low and DTR pulls GPIO0 low; with both or none, neither is.

On a real board a capacitor holds EN low for a moment after it is let go, which covers the change
from one line to the other. Through RFC 2217 each change waits for an answer, 50 ms and more, so the
capacitor here is larger: a chip in reset stays in it while both lines are asserted, for `HOLD_S` at
most.
"""

from __future__ import annotations

from enum import Enum

HOLD_S = 0.5


class Edge(Enum):
    """What a change of the lines does to the chip."""

    NOTHING = "nothing"
    RESET = "held in reset"
    HELD = "to be let go after HOLD_S"
    BOOT = "let go, GPIO0 high"
    DOWNLOAD = "let go, GPIO0 low"


class ResetCircuit:
    """The state of both lines and of EN, from the moment that the board has power."""

    def __init__(self) -> None:
        self.dtr = False
        self.rts = False
        self._in_reset = False

    @property
    def gpio0_is_low(self) -> bool:
        return self.dtr and not self.rts

    def set(self, dtr: bool, rts: bool) -> Edge:
        """Put both lines at once; what comes of it."""
        self.dtr, self.rts = dtr, rts
        if rts and not dtr:
            was_in_reset, self._in_reset = self._in_reset, True
            return Edge.NOTHING if was_in_reset else Edge.RESET
        if not self._in_reset:
            return Edge.NOTHING
        if dtr and rts:
            return Edge.HELD
        return self._let_go()

    def held_long_enough(self) -> Edge:
        """`HOLD_S` after HELD: lets the chip go if nothing else happened."""
        if self._in_reset and self.dtr and self.rts:
            return self._let_go()
        return Edge.NOTHING

    def _let_go(self) -> Edge:
        self._in_reset = False
        return Edge.DOWNLOAD if self.gpio0_is_low else Edge.BOOT
