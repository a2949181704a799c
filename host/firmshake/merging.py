"""Items of several sources merged into one stream, in bounded memory.

Does no I/O. Rules that hold here, whatever many threads put in at whatever pace:
- the items of one source come out in the order in which they came in;
- a source has room of its own: where it is full, its oldest items go, and it is said how many;
- of what is taken at once, each source that waits has its share: none can starve another;
- what is taken at once is in the order in which it came in, over all sources.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Dropped:
    """So many items were left out here: there was no room for them."""

    count: int


@dataclass
class _Source(Generic[_T]):
    """What waits of one source: number of arrival, cost, item; and what had to go before it."""

    items: deque[tuple[int, int, _T]] = field(default_factory=deque)
    held: int = 0
    dropped: int = 0


class Merge(Generic[_T]):
    """Takes items from threads, and gives them to one. `room` is for each source, in costs.

    `wake` is called, on the thread that puts, where something waits that did not before.
    """

    def __init__(
        self, room: int, cost: Callable[[_T], int], wake: Callable[[], None] = lambda: None
    ) -> None:
        self._room = room
        self._cost = cost
        self._wake = wake
        self._lock = threading.Lock()
        self._arrived = 0
        # those that have something; the first is the next to be served
        self._waiting: dict[int, _Source[_T]] = {}

    def put(self, source: int, item: _T) -> None:
        """Take an item in. It is kept even where it alone needs more room than there is."""
        cost = self._cost(item)
        with self._lock:
            idle = not self._waiting
            queue = self._waiting.setdefault(source, _Source())
            queue.items.append((self._arrived, cost, item))
            self._arrived += 1
            queue.held += cost
            while queue.held > self._room and len(queue.items) > 1:
                queue.held -= queue.items.popleft()[1]
                queue.dropped += 1
        if idle:
            self._wake()

    def take(self, most: int) -> list[tuple[int, _T | Dropped]]:
        """Give out up to `most` items, each with its source; Dropped does not count."""
        found: list[tuple[int, int, _T | Dropped]] = []
        with self._lock:
            for _ in range(most):
                if not self._waiting:
                    break
                self._serve(found)
        found.sort(key=lambda one: one[0])
        return [(source, item) for _, source, item in found]

    def __len__(self) -> int:
        """How many items wait."""
        with self._lock:
            return sum(len(queue.items) for queue in self._waiting.values())

    def _serve(self, found: list[tuple[int, int, _T | Dropped]]) -> None:
        """Take one item of the source whose turn it is, which then is the last in the line."""
        source = next(iter(self._waiting))
        queue = self._waiting.pop(source)
        number, cost, item = queue.items.popleft()
        queue.held -= cost
        if queue.dropped:
            found.append((number, source, Dropped(queue.dropped)))
            queue.dropped = 0
        found.append((number, source, item))
        if queue.items:
            self._waiting[source] = queue
