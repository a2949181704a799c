"""How a run stands: counts of the registry, and the rate of this station. Does no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from firmshake.fleet.row import Totals
from firmshake.registry.fleetrecord import SlotRecord
from firmshake.wording import plural

# the rate is that of the last minutes
_RATE_S = 300.0
# devices that wait for a board and are named
MOST_NAMED = 5


@dataclass
class Tally:
    """`wanted` is None where there is no end; `slots` counts the run's by status.

    `strays` are boards that have failed before they were anything of the run's.
    """

    wanted: int | None
    began_s: float
    slots: Mapping[str, int] = field(default_factory=dict)
    strays: int = 0
    _here: int = 0
    _proved_s: deque[float] = field(default_factory=deque)

    def proved(self, now_s: float) -> None:
        """One more was proved here."""
        self._here += 1
        self._proved_s.append(now_s)

    @property
    def failed(self) -> int:
        """How many boards have failed."""
        return self.slots.get("failed", 0) + self.strays

    @property
    def left(self) -> int | None:
        """How many devices still want a board, None where there is no end."""
        if self.wanted is None:
            return None
        return max(self.wanted - self.slots.get("proved", 0) - self.slots.get("failed", 0), 0)

    def totals(self, now_s: float, working: int) -> Totals:
        """Return how it stands."""
        while self._proved_s and self._proved_s[0] < now_s - _RATE_S:
            self._proved_s.popleft()
        elapsed = now_s - self.began_s
        return Totals(
            wanted=self.wanted,
            proved=self.slots.get("proved", 0),
            failed=self.failed,
            working=working,
            here=self._here,
            per_minute=60 * len(self._proved_s) / max(min(elapsed, _RATE_S), 1.0),
            elapsed_s=elapsed,
        )


def waiting(left: int | None, missing: Sequence[SlotRecord]) -> str:
    """Return that so many boards are waited for, and which; all where `left` is None.

    `missing` are the first devices without a board, more than MOST_NAMED where there are more.
    """
    boards = "another board" if left is None else f"{left} more {plural(left, 'board')}"
    named = [_named(slot) for slot in missing[:MOST_NAMED]]
    if named and left is not None and left > len(named):
        named.append(f"and {left - len(named)} more")
    which = f": {', '.join(named)}" if named else ""
    return f"waiting for {boards} to be plugged in (Ctrl-C ends it){which}"


def _named(slot: SlotRecord) -> str:
    name = slot.device_id or slot.id_rule
    return f"{name} ({slot.wanted_unique_id})" if slot.wanted_unique_id else name
