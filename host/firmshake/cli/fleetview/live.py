"""A run on a terminal's whole screen, as it goes."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

from rich.console import Console

from firmshake.cli.fleetview import ending, header, layout
from firmshake.cli.fleetview.screen import Screen
from firmshake.cli.fleetview.styles import Row
from firmshake.fleet.row import BoardRow, Totals
from firmshake.wording import printable

# as often as eyes can use
_DRAW_S = 0.1
# everything anew, should somebody have typed or another program have written on the screen
_REPAINT_S = 5.0
# failures of boards that were unplugged; a station that runs for weeks keeps no more
_MOST_FAILURES = 100


class LiveView:
    """A View for a terminal.

    It draws from a thread of its own, a few times a second, so that being told costs nothing.
    """

    def __init__(self, console: Console, bell: bool = False) -> None:
        self._console, self._bell = console, bell
        self._screen = Screen(console)
        self._rows: dict[str, BoardRow] = {}
        self._failures: dict[str, BoardRow] = {}  # by unique id, or the key of a board without
        self._totals: Totals | None = None
        self._told_at = 0.0  # when the totals came
        self._note = ""
        self._rings = False
        self._changed = True
        self._lock = threading.Lock()

    def board(self, row: BoardRow) -> None:
        with self._lock:
            before = self._rows.get(row.key)
            self._rows[row.key] = row
            self._changed = True
            if row.state == "failed":
                self._rings |= before is None or before.state != "failed"
                self._failures[_name(row)] = row
                if len(self._failures) > _MOST_FAILURES:
                    del self._failures[next(iter(self._failures))]
            elif row.state == "proved":
                self._failures.pop(_name(row), None)

    def removed(self, key: str) -> None:
        with self._lock:
            self._rows.pop(key, None)
            self._changed = True

    def totals(self, totals: Totals) -> None:
        with self._lock:
            self._totals, self._told_at = totals, time.monotonic()
            self._changed = True

    def note(self, text: str) -> None:
        with self._lock:
            self._note = printable(text)
            self._changed = True

    @contextlib.contextmanager
    def drawn(self) -> Iterator[Self]:
        """Draw until the context ends; then, on the screen as it was before, say how it all ended.

        Raises OSError.
        """
        try:
            with _not_suspended(), self._screen.entered(), self._drawing():
                yield self
        finally:
            rows, failures = list(self._rows.values()), list(self._failures.values())
            now = time.monotonic()
            ending.show(self._console, rows, failures, self._totals_at(now), now)

    @contextlib.contextmanager
    def _drawing(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._draw, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _draw(self, stop: threading.Event) -> None:
        # a terminal that is gone is told to the program by a signal
        with contextlib.suppress(OSError):
            second, painted = 0, 0.0
            while not stop.wait(_DRAW_S):
                now = time.monotonic()
                resized = self._screen.resized()
                everything = resized or now - painted > _REPAINT_S
                if everything:
                    painted = now
                if everything or self._changed or int(now) != second:
                    second = int(now)
                    self._paint(now, everything)

    def _paint(self, now: float, everything: bool) -> None:
        with self._lock:
            rows, note, totals = list(self._rows.values()), self._note, self._totals_at(now)
            rings, self._rings, self._changed = self._rings, False, False
        width, height = self._screen.size
        ascii_only = self._screen.ascii_only
        top: list[Row] = [((note, "dim"),)]
        if totals is not None:
            top = header.lines(totals, note, width, height, ascii_only)
        below = layout.lines(rows, now, width, height - len(top), ascii_only)
        self._screen.paint([*top, *below][:height], everything)
        if rings and self._bell:
            self._screen.ring()

    def _totals_at(self, now: float) -> Totals | None:
        """The totals as they were told last, with the time that has gone by since."""
        told = self._totals
        return told and replace(told, elapsed_s=told.elapsed_s + now - self._told_at)


@contextlib.contextmanager
def _not_suspended() -> Iterator[None]:
    """Ctrl-Z has no effect meanwhile: it would stop the boards' work half-way, and this screen."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)


def _name(row: BoardRow) -> str:
    return row.unique_id or row.key
