"""A run as lines of text, for logs: one a change that matters, without control characters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from firmshake.cli.fleetview import words
from firmshake.cli.fleetview.bell import Bell
from firmshake.fleet.row import BoardRow, Totals
from firmshake.wording import printable

# how often the totals are told while boards go on
_TOTALS_S = 60.0


def _now() -> datetime:
    return datetime.now().astimezone()


class PlainView:
    """A View that writes lines to `stream`: when, state, port, device id, words.

    `clock` gives the time that stands on each line, with its zone.
    """

    def __init__(self, stream: TextIO, bell: Bell, clock: Callable[[], datetime] = _now) -> None:
        self._stream, self._bell, self._clock = stream, bell, clock
        self._said: dict[str, tuple[str, ...]] = {}
        self._totals: Totals | None = None
        self._told_s = 0.0  # the run's time when the totals were last written

    def board(self, row: BoardRow) -> None:
        self._bell.see(row)
        said = (row.state, row.stage, _telling(row), row.device_id)
        if self._said.get(row.key) == said:
            return
        self._said[row.key] = said
        name = words.device(row) or "-"
        self._line(f"{words.STATES[row.state]:<10} {words.port(row.port)} {name} {_words(row)}")

    def removed(self, key: str) -> None:
        self._said.pop(key, None)
        self._bell.forget(key)

    def totals(self, totals: Totals) -> None:
        self._totals = totals
        if totals.elapsed_s - self._told_s >= _TOTALS_S:
            self._tell_totals(totals)

    def note(self, text: str) -> None:
        self._line(printable(text))

    def end(self) -> None:
        """Write how the run stands now, the last line."""
        if self._totals is not None:
            self._line(words.summary(self._totals, ended=True))

    def _tell_totals(self, totals: Totals) -> None:
        self._told_s = totals.elapsed_s
        self._line(f"{words.summary(totals)}, {totals.working} working")

    def _line(self, text: str) -> None:
        self._stream.write(f"{self._clock().isoformat(timespec='seconds')} {text.rstrip()}\n")
        self._stream.flush()


def _telling(row: BoardRow) -> str:
    """Of its words what is worth a line: not how far a board is that is written and started.

    What is tried to find out what it is may take long, and people are asked to press buttons.
    """
    if row.state == "working" and row.stage != "look" and not words.is_plea(row):
        return ""
    return words.outcome(row)


def _words(row: BoardRow) -> str:
    """What a board does, or how it ended: a failure's verdict, why and fix as well."""
    if row.state != "failed":
        return words.outcome(row)
    parts = [f"{row.verdict}:" if row.verdict else "", row.words]
    parts.append(f"fix: {row.fix}" if row.fix else "")
    return printable(" ".join(filter(None, parts)))
