"""Tells whether a board's failure or warning was explained already, when the stage last ran.

Does no I/O.
"""

from __future__ import annotations

from firmshake.event import Event

# evidence that differs from one climb to the next though nothing else does
_MOVING = ("took", "now", "clock", "bytes_in", "bytes_out", "free", "largest", "used", "held_ms")


class Repeats:
    """One board's."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, str]] = {}  # stage: its last failure or warning
        self._warned: set[str] = set()  # stages that have warned and not come to their end

    def again(self, event: Event) -> bool:
        """Whether this event, which is shown now, says what was said before."""
        if event.state == "ok":
            # the end of a stage that warned belongs to its warning
            if event.stage not in self._warned:
                self._said.pop(event.stage, None)
            self._warned.discard(event.stage)
        if event.state not in ("fail", "warn"):
            return False
        if event.state == "warn":
            self._warned.add(event.stage)
        else:
            self._warned.discard(event.stage)
        before = self._said.get(event.stage)
        fields = {key: value for key, value in event.fields.items() if key not in _MOVING}
        self._said[event.stage] = fields
        return fields == before
