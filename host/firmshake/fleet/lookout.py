"""Looks for boards again and again, in a thread of its own: a look may take a while."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Sequence

from firmshake.boards.row import Row
from firmshake.errors import Error

# how often: people wait for it with a cable in their hand
LOOK_S = 0.5


class Lookout:
    """Looks for as long as its context lasts."""

    def __init__(self, look: Callable[[], Sequence[Row]]) -> None:
        self._look = look
        self._over = threading.Event()
        self._found: queue.SimpleQueue[Sequence[Row]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="lookout", daemon=True)

    def __enter__(self) -> Lookout:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def seen(self) -> Iterable[Sequence[Row]]:
        """Yield the looks that were taken since the last time."""
        while True:
            try:
                yield self._found.get_nowait()
            except queue.Empty:
                return

    def _watch(self) -> None:
        while not self._over.is_set():
            # the next look may see more
            with contextlib.suppress(Error, OSError):
                self._found.put(self._look())
            self._over.wait(LOOK_S)
