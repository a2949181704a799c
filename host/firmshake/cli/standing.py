"""How one board among several stands, and what of it is held back. Does no I/O."""

from __future__ import annotations

from firmshake.cli.repeats import Repeats
from firmshake.climbgate import Gate, Only
from firmshake.console import Back, Lost
from firmshake.event import Event, Output
from firmshake.feed import Item, Opened, Refused, Said
from firmshake.merging import Dropped
from firmshake.symptoms import Symptoms

_READY, _FAILED, _CLIMBS, _AWAY = "ready", "failed", "without a verdict", "away"
STANDINGS = (_READY, _FAILED, _CLIMBS, _AWAY)


class Standing:
    """What is known of one board: `stands` is one of STANDINGS, `last` what came last."""

    def __init__(self, first: Said, only: Only) -> None:
        self.last = first
        self.gate = Gate(_event_of, self._left_out, only)
        self.repeats = Repeats()
        self.symptoms = Symptoms()
        self.hints: set[str] = set()
        self.is_half = False  # the last output has not come to its line's end
        self.stands = _CLIMBS

    def take(self, said: Said) -> list[Said]:
        """What is to be shown now that this has come."""
        self.last = said
        self._note_state(said.item)
        if isinstance(said.item, Dropped):
            return self.gate.lose(said.item.count)
        return self.gate.feed(said) if isinstance(said.item, Event | Output) else [said]

    def _left_out(self, count: int) -> Said:
        return self.last._replace(item=Dropped(count))

    def _note_state(self, item: Item) -> None:
        if isinstance(item, Lost | Refused):
            self.stands = _AWAY
        elif isinstance(item, Back | Opened):
            self.stands = _CLIMBS
        elif isinstance(item, Event) and item.verdict is not None:
            self.stands = _READY if item.state == "ok" else _FAILED
        elif isinstance(item, Event) and (item.stage, item.state) == ("identity", "start"):
            self.stands = _CLIMBS


def _event_of(said: Said) -> Event | None:
    return said.item if isinstance(said.item, Event) else None
