"""Looks for boards again and again, in a thread of its own: a look may take a while."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from firmshake.boards.row import Row

# how often: people wait for it with a cable in their hand
LOOK_S = 0.5
# so many looks that fail in a row are worth a word
_TROUBLE = 10
# of a look that hangs in the system: nobody waits longer to leave
_LEAVE_S = 2.0


@dataclass(frozen=True)
class Look:
    """What was seen at one look, which began at the moment `began_s` of the lookout's clock.

    `births` tell a port from one that had its name before, where the system does. `trouble` says
    why nothing is seen any more.
    """

    rows: Sequence[Row]
    began_s: float
    births: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""


class Lookout:
    """Looks for as long as its context lasts."""

    def __init__(
        self, look: Callable[[], Sequence[Row]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look, self._clock = look, clock
        self._over = threading.Event()
        self._found: queue.SimpleQueue[Look] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="lookout", daemon=True)

    def __enter__(self) -> Lookout:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(_LEAVE_S)

    def seen(self) -> Iterable[Look]:
        """Yield the looks that were taken since the last time."""
        while True:
            try:
                yield self._found.get_nowait()
            except queue.Empty:
                return

    def _watch(self) -> None:
        failed = 0
        while not self._over.is_set():
            began_s = self._clock()
            try:
                rows = self._look()
                births = {port: _birth(port) for port in _ports(rows)}
                self._found.put(Look(rows, began_s, births))
                failed = 0
            except Exception as error:  # noqa: BLE001  a device that goes away meanwhile can raise any
                failed += 1
                if failed % _TROUBLE == 0:
                    trouble = f"{type(error).__name__}: {error}"
                    self._found.put(Look((), began_s, trouble=trouble))
            self._over.wait(LOOK_S)


def _ports(rows: Sequence[Row]) -> Iterable[str]:
    return (port for row in rows for port in row.ports)


def _birth(port: str) -> str:
    """A device file is another one each time when the device is plugged in."""
    try:
        return str(os.stat(port).st_ino)
    except OSError:
        return ""
