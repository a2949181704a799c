"""The serial lines of several boards as one stream, each read by a thread of its own.

Prints nothing. A line is read as fast as it speaks, whoever takes the stream: what was read is in
its log by then. What is not taken in time waits in bounded memory (see `merging`).
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self

from firmshake.console import OpenPort
from firmshake.event import Event, Output
from firmshake.feed import Board, Feed, Line, Said
from firmshake.merging import Dropped, Merge

# of what one board said and nobody has taken yet, in bytes
ROOM = 1 << 20
_LOOK_S = 1.0  # between two looks at what is plugged in
_CLOSE_S = 3.0  # a port whose other end is silent is no longer waited for
_ITEM = 300  # bytes that an item takes beside its text


class Place(NamedTuple):
    """Where a board is plugged in: `key` stays while its port may get another name."""

    key: str
    port: str


class Consoles:
    """The merged stream, taken from in one thread; a context manager ends the others.

    `line` opens a port. `reset` resets the board behind one that was just opened, and raises Error
    where that can't be done. With `events_only`, other output is read but not given out.
    """

    def __init__(
        self,
        line: Line,
        reset: Callable[[OpenPort], None] | None = None,
        *,
        events_only: bool = False,
    ) -> None:
        self._line = line
        self._reset = reset
        self._events_only = events_only
        self._numbered: list[Feed] = []
        self._by_key: dict[str, Feed] = {}  # that of their place
        self._merge: Merge[Said] = Merge(ROOM, _cost, self._wake)
        self._failure: Exception | None = None
        self._ended = threading.Event()
        self._looking: threading.Thread | None = None
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads, but for one that is stuck while it opens its port."""
        ends = time.monotonic() + _CLOSE_S
        self._ended.set()
        if self._looking is not None:
            self._looking.join(_CLOSE_S)
        feeds = self._numbered
        for feed in feeds:
            feed.end()
        for feed in feeds:
            feed.join(ends - time.monotonic())
        # else they are closed with the last thread that may ring
        if not any(feed.is_running for feed in feeds):
            self._ear.close()
            self._bell.close()

    @property
    def boards(self) -> list[Board]:
        """The boards whose lines are read, or were, by number."""
        return [feed.board for feed in self._numbered]

    @property
    def waiting(self) -> int:
        """How many items can be taken."""
        return len(self._merge)

    def listen_to(self, ports: Iterable[str]) -> None:
        """Begin to read these ports, which may not be there yet."""
        for port in ports:
            self._add(Place(port, port))

    def follow(self, look: Callable[[], Sequence[Place]]) -> None:
        """Begin to read the ports at which `look` finds boards, now and from now on."""
        self._update(look())
        self._looking = threading.Thread(target=self._follow, args=[look], daemon=True)
        self._looking.start()

    def wait(self, others: Iterable[int], timeout: float) -> list[int]:
        """Wait until there is something new, or to be read of `others`: return these."""
        ear = self._ear.fileno()
        ready, _, _ = select.select([ear, *others], [], [], timeout)
        if ear in ready:
            with contextlib.suppress(BlockingIOError):
                self._ear.recv(4096)
        return [one for one in ready if one != ear]

    def take(self, most: int) -> list[Said]:
        """What came, up to `most` items, in order (see `merging`).

        Raises what ended a line for good: NotSaved, where its log can't be written.
        """
        if self._failure is not None:
            raise self._failure
        return [
            self._of(self._numbered[number - 1], item) if isinstance(item, Dropped) else item
            for number, item in self._merge.take(most)
        ]

    def _add(self, place: Place) -> None:
        board = Board(len(self._numbered) + 1, place.port)
        feed = Feed(board, self._line, self._reset, self._put, self._fail)
        self._numbered.append(feed)
        self._by_key[place.key] = feed
        feed.start()

    def _follow(self, look: Callable[[], Sequence[Place]]) -> None:
        try:
            while not self._ended.wait(_LOOK_S):
                self._update(look())
        except Exception as error:  # noqa: BLE001  it is raised again where the stream is taken
            self._fail(error)

    def _update(self, found: Sequence[Place]) -> None:
        """Begin with boards that are new or back, and end with those that are gone for good."""
        ports = {place.port for place in found}
        running = [feed for feed in self._numbered if feed.is_running]
        for feed in running:
            if feed.is_lost and feed.board.port not in ports:
                feed.end()
        taken = {feed.board.port for feed in running}
        for place in found:
            known = self._by_key.get(place.key)
            if place.port in taken or known in running:
                continue
            if known is None:
                self._add(place)
            else:
                known.start(place.port)

    def _of(self, feed: Feed, item: Dropped) -> Said:
        return Said(feed.board, feed.device, time.time(), item)

    def _put(self, said: Said) -> None:
        if not (self._events_only and isinstance(said.item, Output)):
            self._merge.put(said.board.number, said)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._bell.send(b".")


def _cost(said: Said) -> int:
    """The memory that an item takes, in bytes, roughly."""
    if isinstance(said.item, Output):
        return _ITEM + len(said.item.data)
    if isinstance(said.item, Event):
        return _ITEM + sum(_ITEM + len(text) for text in said.item.fields.values())
    return _ITEM
