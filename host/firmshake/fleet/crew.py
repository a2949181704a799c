"""The workers of a station: one process a board, each at the other end of a line.

They are forked from a process that has loaded what they need, and nothing else: no key, and no
descriptor of the station's. Nothing here waits for a worker, whatever it does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from firmshake import esptool_runs, flash, inherited, interrupts
from firmshake.fleet import worker
from firmshake.fleet.wire import Wire
from firmshake.fleet.worker import Job

# https://docs.python.org/3/using/cmdline.html#envvar-PYTHONSAFEPATH
_SAFE_PATH = "PYTHONSAFEPATH"
_PRELOADED = ["firmshake.fleet.warm"]
# for what was killed to be gone; a process that the kernel holds in a driver may take longer
_END_S = 0.5
# between the end of what a worker says and its own end
_LINGER_S = 2.0
# sent by somebody; the others come of a process's own fault
_KILLS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT")

Work = Callable[[Job, Connection, Connection, socket.socket | None], None]


class Dead(Exception):
    """A worker is gone, and all that it said was heard. `words` say how it ended."""

    def __init__(self, words: str, is_killed: bool) -> None:
        super().__init__(words)
        self.words = words
        self.is_killed = is_killed


@dataclass(eq=False)
class Hand:
    """One worker. `line` closes with the station; `awaited` is what its wire is waited for."""

    process: BaseProcess
    wire: Wire
    line: Connection
    awaited: int = field(default=0, init=False)
    _lingers_s: float | None = field(default=None, init=False)  # the moment since which

    def send(self, fields: Mapping[str, Any]) -> None:
        """Say something to it, without waiting; nothing happens where it is dead."""
        self.wire.send(fields)

    def hear(self) -> list[dict[str, Any]]:
        """Return what it has said, which may be nothing. Raises Nonsense, or Dead in the end."""
        # before the line is looked at: what is said until the end is on it then
        status = self.process.exitcode
        said = self.wire.hear()
        if said:
            return said
        if status is not None and not self.wire.has_more:
            raise _death(status)
        if self.wire.is_closed and self._is_overdue():
            raise Dead("its process stopped talking", is_killed=False)
        return []

    def end(self) -> None:
        """Let it be dead, with all that it started."""
        self.line.close()
        self.process.kill()
        self.process.join(_END_S)
        self.wire.close()

    @property
    def has_more(self) -> bool:
        """Whether something is to be heard that nobody has to be waited for."""
        return self.wire.has_more or (self.wire.is_closed and self._is_overdue())

    def _is_overdue(self) -> bool:
        now = time.monotonic()
        if self._lingers_s is None:
            self._lingers_s = now
        return now - self._lingers_s >= _LINGER_S


def _death(status: int) -> Dead:
    if status >= 0:
        return Dead(f"its process ended by a fault (status {status})", is_killed=False)
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if name in _KILLS:
        return Dead(f"its process was killed ({name})", is_killed=True)
    return Dead(f"its process ended by a fault ({name})", is_killed=False)


@contextlib.contextmanager
def _begun_cleanly() -> Iterator[None]:
    """What is begun here inherits no secret, and takes no code from the folder that we are in."""
    with interrupts.held(), inherited.without_secrets(os.environ):
        before = os.environ.get(_SAFE_PATH)
        os.environ[_SAFE_PATH] = "1"
        try:
            yield
        finally:
            del os.environ[_SAFE_PATH]
            if before is not None:
                os.environ[_SAFE_PATH] = before


class Crew:
    """Hires workers, who do `work`; a context manager that leaves none behind."""

    def __init__(self, work: Work = worker.work) -> None:
        self._work = work
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)
        self._hands: list[Hand] = []
        self._selector = selectors.DefaultSelector()
        self._open = contextlib.ExitStack()
        self._esptool: socket.socket | None = None

    def __enter__(self) -> Crew:
        self._open.callback(self._selector.close)
        with _begun_cleanly():
            forkserver.ensure_running()
        self._esptool = self._open.enter_context(esptool_runs.parent(flash.environment()))
        return self

    def __exit__(self, *error: object) -> None:
        for hand in self._hands:
            hand.process.kill()
        for hand in self._hands[:]:
            self.dismiss(hand)
        self._open.close()

    def hire(self, job: Job) -> Hand:
        """Start a worker."""
        ours, theirs = socket.socketpair()
        pipe = Connection(theirs.detach())
        end, line = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=self._work, args=(job, pipe, end, self._esptool), daemon=True
        )
        hand = Hand(process, Wire(ours), line)
        # the process that forks workers is begun anew where somebody has killed it
        with _begun_cleanly():
            process.start()
            self._hands.append(hand)
            self._selector.register(process.sentinel, selectors.EVENT_READ, hand)
        pipe.close()
        end.close()
        return hand

    def dismiss(self, hand: Hand) -> None:
        """End a worker, whether it is done or not."""
        self._hands.remove(hand)
        self._selector.unregister(hand.process.sentinel)
        self._await(hand, 0)
        hand.end()

    def heard(self, timeout_s: float) -> list[Hand]:
        """Return the workers that have said something, or are dead, after that time at most.

        Those that have something to hear already are returned at once.
        """
        found = [hand for hand in self._hands if hand.has_more]
        for hand in self._hands:
            self._await(hand, hand.wire.events)
        for key, events in self._selector.select(0 if found else timeout_s):
            if events & selectors.EVENT_WRITE:
                key.data.wire.flush()
            if events & selectors.EVENT_READ and key.data not in found:
                found.append(key.data)
        return found

    def _await(self, hand: Hand, events: int) -> None:
        """Wait for these of its wire from here on."""
        if events == hand.awaited:
            return
        if hand.awaited:
            self._selector.unregister(hand.wire)
        if events:
            self._selector.register(hand.wire, events, hand)
        hand.awaited = events
