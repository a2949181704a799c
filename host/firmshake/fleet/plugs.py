"""Which boards are plugged in, from one look to the next. Does no I/O.

A board has no name here but the place where it is plugged in, for as long as it stays there: who it
is, it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from firmshake.boards.row import Row

# A board with a USB of its own goes away for a moment when it is reset: while it is being worked on
# it is gone when it has not been there in so many looks in a row
LOOKS_GONE = 3
_AWAY = "it went away; it may be restarting"
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Plug:
    """A board that is plugged in. `target` is its port, or the folder of its drive.

    `waits` is why nothing can be done to it now, "" where something can. `birth` is another one for
    another board at the same place, where the system tells.
    """

    key: str
    target: str
    waits: str = ""
    birth: str = ""


class Plugs:
    """What was seen so far."""

    def __init__(self) -> None:
        self._there: dict[str, Plug] = {}
        self._missing: dict[str, int] = {}

    def look(
        self, rows: Sequence[Row], busy: Collection[str] = (), births: Mapping[str, str] = _NONE
    ) -> tuple[list[Plug], list[str]]:
        """Return the boards that are there, and the keys of those that have gone since.

        `busy` are those that are being worked on.
        """
        plugs = (_plug(row, births) for row in rows)
        seen = {plug.key: plug for plug in plugs if plug is not None}
        gone = []
        for key in list(self._there):
            if key in seen:
                self._missing.pop(key, None)
                continue
            self._missing[key] = self._missing.get(key, 0) + 1
            if key not in busy or self._missing[key] >= LOOKS_GONE:
                del self._there[key], self._missing[key]
                gone.append(key)
        self._there.update(seen)
        return [self._now(plug) for plug in self._there.values()], gone

    def _now(self, plug: Plug) -> Plug:
        return replace(plug, waits=_AWAY) if plug.key in self._missing else plug


def _plug(row: Row, births: Mapping[str, str]) -> Plug | None:
    """None for what has no name."""
    target = row.drive or next(iter(row.ports), "") or row.block_device
    if not target:
        return None
    birth = births.get(next(iter(row.ports), ""), "")
    return Plug(row.location or target, target, _waits(row), birth)


def _waits(row: Row) -> str:
    if row.block_device and not row.drive:
        # its port may be there: but while the computer has its files, its REPL can't write them
        return f"its drive {row.block_device} is not mounted"
    return f"its port is in use by {row.busy_by}" if row.busy_by else ""
