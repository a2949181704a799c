"""One board's serial line among several, read on a thread of its own until it is told to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from firmshake.console import RETRY_S, Back, Lost, OpenPort, watch
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.merging import Dropped
from firmshake.saving import NotSaved


@dataclass(frozen=True)
class Opened:
    """The port was opened for the first time."""


@dataclass(frozen=True)
class Refused:
    """The port could not be opened, for a reason that was not said before; it is tried again."""

    error: Error


@dataclass(frozen=True)
class NotReset:
    """The port was opened, but the board could not be reset."""

    error: Error


Item: TypeAlias = Event | Output | Lost | Back | Opened | Refused | NotReset | Dropped


@dataclass(frozen=True)
class Board:
    """One line among several: `number` counts from 1 and stays, `port` is where it is now."""

    number: int
    port: str


class Said(NamedTuple):
    """What came of a board: `device` is who it had said to be by then, `at` a time of `time.time`.

    `device` is None until an `identity ok` has come since the port was opened.
    """

    board: Board
    device: str | None
    at: float
    item: Item


# Gives what opens the port that is named, with its log open, if it has one, as long as the context
Line = Callable[[str], AbstractContextManager[Callable[[], OpenPort]]]


class _Ended(Exception):
    """The thread is to end."""


class Feed:
    """Reads a line and passes on all that comes, to `put`, until `end`.

    `reset` is called once, with the port first opened. What ends the thread else, which is a log
    that can't be written, goes to `fail`. Both are called on the thread.
    """

    def __init__(
        self,
        board: Board,
        line: Line,
        reset: Callable[[OpenPort], None] | None,
        put: Callable[[Said], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.board = board
        self.device: str | None = None
        self.is_lost = False  # the port was there and went away, or was not to be had yet
        self._line = line
        self._reset = reset
        self._put = put
        self._fail = fail
        self._was_open = False
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the line is read, or its port waited for."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, port: str = "") -> None:
        """Begin to read; where it was read before and has ended, it may be at another port now."""
        if port:
            self.board = replace(self.board, port=port)
        self._end.clear()
        self._thread = threading.Thread(target=self._run, name=self.board.port, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Have the thread end soon."""
        self._end.set()

    def join(self, timeout: float) -> None:
        """Wait until it has ended."""
        if self._thread is not None:
            self._thread.join(max(timeout, 0))

    def _run(self) -> None:
        try:
            with self._line(self.board.port) as open_port:
                self._read(open_port)
        except _Ended:
            pass
        except Exception as error:  # noqa: BLE001  it is raised again where the stream is taken
            self._fail(error)

    def _read(self, open_port: Callable[[], OpenPort]) -> None:
        """Pass on what comes, and try again as long as the port can't be opened."""
        said = ""
        while True:
            try:
                for item in watch(open_port, self._opened, self._pause, self._alive):
                    self._pass_on(item)
            except NotSaved:
                raise
            except (Error, OSError) as error:
                refused = error if isinstance(error, Error) else Error(str(error))
                self.is_lost = True
                if refused.message != said:
                    said = refused.message
                    self._pass_on(Refused(refused))
            self._pause(RETRY_S)

    def _opened(self, port: OpenPort) -> None:
        self._pass_on(Back() if self._was_open else Opened())
        if self._reset is not None and not self._was_open:
            try:
                self._reset(port)
            except Error as error:
                self._pass_on(NotReset(error))
        self._was_open = True

    def _pass_on(self, item: Item) -> None:
        if isinstance(item, Opened | Back):
            # it may be another board by now
            self.device, self.is_lost = None, False
        elif isinstance(item, Lost):
            self.is_lost = True
        elif isinstance(item, Event) and (item.stage, item.state) == ("identity", "ok"):
            self.device = item.fields.get("device") or self.device
        self._put(Said(self.board, self.device, time.time(), item))

    def _pause(self, seconds: float) -> None:
        if self._end.wait(seconds):
            raise _Ended

    def _alive(self) -> None:
        if self._end.is_set():
            raise _Ended
