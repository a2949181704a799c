"""Many virtual boards at once, in a few processes.

A process for each core, and more where the boards are many: `select`, by which they wait, takes no
descriptor above 1023, and a board has about ten. The processes are forked, so that they share what
is loaded; they end with this one, in whatever way that ends.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from firmshake import interrupts
from firmshake.boards.bench import Sight
from firmshake.errors import Error
from firmshake.virtual import shelf
from firmshake.virtual.shelf import Make

_MOST_IN_A_PROCESS = 48
_READ = 65536
# of closing boards: what takes longer is ended by force
_END_S = 20.0
_POLL_S = 0.02


@dataclass
class _Shelf:
    """One process: `told` is what comes from it, and it ends when `keep` is closed."""

    pid: int
    told: int
    keep: int
    rest: bytes = b""
    is_ready: bool = False


class Bench:
    """Boards made by `makers`, numbered from 1, from `start` to `close`; a context does both.

    To be started while this process has one thread, since it forks. Raises Error where a board
    cannot be had.
    """

    def __init__(self, makers: Sequence[Make]) -> None:
        self._makers = dict(enumerate(makers, 1))
        self._shelves: list[_Shelf] = []
        self._sights: dict[int, Sight] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def sights(self) -> list[Sight]:
        """What can be seen of each board, by number."""
        return [self._sights[number] for number in sorted(self._sights)]

    @property
    def files(self) -> list[int]:
        """The descriptors that are ready to be read when something is to be `taken`."""
        return [one.told for one in self._shelves]

    def start(self) -> None:
        """Give all of them power; return when all have it."""
        try:
            for makers in _shared_out(self._makers, _processes(len(self._makers))):
                self._fork(makers)
            while not all(one.is_ready for one in self._shelves):
                for one in self._shelves:
                    if not one.is_ready:
                        self.take(one.told)
        except BaseException:
            self._end(is_failure=True)
            raise

    def take(self, file: int) -> bool:
        """Take what has come on one of `files`: whether something can be seen that was not before.

        Waits for it. Raises Error where boards have failed.
        """
        one = next(each for each in self._shelves if each.told == file)
        data = os.read(file, _READ)
        if not data:
            numbers = ", ".join(str(number) for number in sorted(self._makers))
            raise Error(f"virtual boards ended by themselves, of these: {numbers}")
        *lines, one.rest = (one.rest + data).split(b"\n")
        before = dict(self._sights)
        for line in lines:
            self._take(one, json.loads(line))
        return self._sights != before

    def close(self) -> None:
        """Take power and cables away. Raises Error where a board had failed."""
        self._end(is_failure=False)

    def _fork(self, makers: Mapping[int, Make]) -> None:
        told, tell = os.pipe()
        until, keep = os.pipe()
        # what stands in a buffer would be written twice
        sys.stdout.flush()
        sys.stderr.flush()
        with interrupts.held():
            pid = os.fork()
            if not pid:
                _be(makers, tell, until)
            self._shelves.append(_Shelf(pid, told, keep))
        os.close(tell)
        os.close(until)

    def _take(self, one: _Shelf, line: dict[str, Any]) -> None:
        if shelf.READY in line:
            one.is_ready = True
        elif shelf.ERROR in line:
            message, hint, status = line[shelf.ERROR]
            raise Error(message, hint, status=status)
        else:
            sight = Sight(**line[shelf.SIGHT])
            self._sights[sight.number] = sight

    def _end(self, is_failure: bool) -> None:
        for one in self._shelves:
            os.close(one.keep)
        ends = time.monotonic() + _END_S
        statuses = [_ended(one, ends) for one in self._shelves]
        self._shelves.clear()
        if any(statuses) and not is_failure:
            raise Error("a virtual board failed", hint="what it said before tells how")


def _processes(boards: int) -> int:
    """How many processes are best for so many boards."""
    return max(min(boards, os.cpu_count() or 1), -(-boards // _MOST_IN_A_PROCESS))


def _shared_out(makers: Mapping[int, Make], count: int) -> list[dict[int, Make]]:
    """Shares of about one size, each of boards that follow each other."""
    numbers = sorted(makers)
    bounds = [len(numbers) * part // count for part in range(count + 1)]
    shares = [numbers[start:end] for start, end in itertools.pairwise(bounds)]
    return [{number: makers[number] for number in share} for share in shares]


def _be(makers: Mapping[int, Make], tell: int, until: int) -> NoReturn:
    """In the child: live, and never return."""
    status = 1
    try:
        _close_others(tell, until)
        status = shelf.live(makers, tell, until)
        sys.stderr.flush()
    finally:
        os._exit(status)


def _close_others(*kept: int) -> None:
    """Close what the parent has open: pipes of other processes, and what it has locked."""
    start = 3
    for number in sorted(kept):
        os.closerange(start, number)
        start = number + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def _ended(one: _Shelf, ends: float) -> int:
    """The exit status of a process that has been told to end; by force where it does not."""
    with contextlib.suppress(OSError):
        # it may be waiting for room to tell
        os.set_blocking(one.told, False)
    while True:
        with contextlib.suppress(BlockingIOError):
            os.read(one.told, _READ)
        pid, status = os.waitpid(one.pid, os.WNOHANG)
        if pid:
            os.close(one.told)
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > ends:
            os.kill(one.pid, signal.SIGKILL)
            ends += _END_S
        time.sleep(_POLL_S)
