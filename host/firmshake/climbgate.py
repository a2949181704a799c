"""Lets through the climbs that end with a verdict that is looked for, and holds back the others.

Does no I/O. What holds here:
- a climb begins with the board's start (an event numbered 0), or where `verdict.begins_climb` says;
- from there on all that the board says is held back, until a verdict comes: where that is looked
  for it goes through, in order, and what the board says after it goes through at once;
- else it is kept back further, until the next climb begins: a board that was ready may fail later,
  which is a verdict again. What is kept back when a climb begins is gone;
- what is held back is bounded: the oldest goes first, and how much that was is said.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from firmshake.event import Event
from firmshake.verdict import begins_climb

# of one board; a climb has some 20 events, and what else it says in a minute
HELD = 1000

_READY = "ready"
_FAIL = "fail"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Only:
    """The verdicts that are looked for; without patterns, everything is, verdict or not.

    A pattern is "ready", "fail" (any failure), a stage or step ("tls", "tls.server_certificate"),
    or a verdict with the wildcards of a shell ("tls.*", "*/expired").
    """

    patterns: tuple[str, ...] = ()

    def wants(self, verdict: str) -> bool:
        """Whether the verdict is one of them."""
        return not self.patterns or any(_fits(verdict, pattern) for pattern in self.patterns)

    def strange(self, stages: Collection[str]) -> list[str]:
        """The patterns that fit no verdict of these stages, whatever its cause."""
        return [
            pattern
            for pattern in self.patterns
            if pattern not in (_READY, _FAIL)
            and not any(fnmatchcase(stage, re.split(r"[./]", pattern)[0]) for stage in stages)
        ]


def _fits(verdict: str, pattern: str) -> bool:
    if pattern == _FAIL:
        return verdict != _READY
    if pattern != _READY and verdict.startswith((f"{pattern}/", f"{pattern}.")):
        return True
    return fnmatchcase(verdict, pattern)


class Gate(Generic[_T]):
    """One board's. What passes may be anything: `event_of` says which event it is, if it is one."""

    def __init__(
        self,
        event_of: Callable[[_T], Event | None],
        dropped: Callable[[int], _T],
        only: Only,
        most: int = HELD,
    ) -> None:
        """`dropped` makes what is said of so many things that had to go."""
        self._event_of = event_of
        self._dropped = dropped
        self._only = only
        self._most = most
        self._held: deque[_T] = deque()
        self._gone = 0
        self._verdict: str | None = None  # the last of the climb that goes on
        self._before: Event | None = None
        self._fresh = False  # since the climb began nothing but events of the board itself

    @property
    def is_open(self) -> bool:
        """Whether what comes goes through at once."""
        if not self._only.patterns:
            return True
        return self._verdict is not None and self._only.wants(self._verdict)

    def feed(self, thing: _T) -> list[_T]:
        """What is to be shown now that this has come."""
        event = self._event_of(thing)
        if event is not None and self._begins(event):
            self._clear()
            self._verdict = None
        if event is not None and event.verdict is not None:
            self._verdict = event.verdict
        if self.is_open:
            return [*self._release(), thing]
        self._hold(thing)
        return []

    def lose(self, count: int) -> list[_T]:
        """What is to be shown where so many things never came here."""
        if self.is_open:
            return [self._dropped(count)]
        # which climb they belonged to can't be told any more
        self._gone += len(self._held) + count
        self._held.clear()
        return []

    def change(self, only: Only) -> list[_T]:
        """Look for other verdicts from here on. What is to be shown of what was held back."""
        self._only = only
        return self._release() if self.is_open else []

    def _begins(self, event: Event) -> bool:
        before, self._before = self._before, event
        if event.seq == 0:
            self._fresh = True
            return True
        begins = begins_climb(event, before) and not self._fresh
        if event.stage != "boot":
            self._fresh = False
        return begins

    def _hold(self, thing: _T) -> None:
        self._held.append(thing)
        if len(self._held) > self._most:
            self._held.popleft()
            self._gone += 1

    def _release(self) -> list[_T]:
        left_out = [self._dropped(self._gone)] if self._gone else []
        shown = [*left_out, *self._held]
        self._clear()
        return shown

    def _clear(self) -> None:
        self._held.clear()
        self._gone = 0
