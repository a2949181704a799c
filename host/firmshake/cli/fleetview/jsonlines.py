"""A run as one JSON object a line, for programs. The fields are told in docs/fleet.md."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TextIO

from firmshake.cli.fleetview.bell import Bell
from firmshake.fleet.row import BoardRow, Totals

# of the whole work: smaller steps are not told
_STEP = 0.05


def _now() -> datetime:
    return datetime.now(UTC)


class JsonView:
    """A View that writes to `stream`; `clock` and `monotonic` give the time."""

    def __init__(
        self,
        stream: TextIO,
        bell: Bell,
        clock: Callable[[], datetime] = _now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._bell, self._clock, self._monotonic = stream, bell, clock, monotonic
        self._told: dict[str, BoardRow] = {}
        self._totals: Totals | None = None

    def board(self, row: BoardRow) -> None:
        self._bell.see(row)
        before = self._told.get(row.key)
        if before is not None and not _tells(before, row):
            return
        self._told[row.key] = row
        fields = dict(vars(row))
        began, ended = fields.pop("began_s"), fields.pop("ended_s")
        fields["took_s"] = None
        if began:
            fields["took_s"] = round((self._monotonic() if ended is None else ended) - began, 3)
        self._write("board", fields | {"done": round(row.done, 3)})

    def removed(self, key: str) -> None:
        self._told.pop(key, None)
        self._bell.forget(key)
        self._write("removed", {"key": key})

    def totals(self, totals: Totals) -> None:
        if self._totals is None or _counts(self._totals) != _counts(totals):
            self._tell_totals(totals)
        self._totals = totals

    def note(self, text: str) -> None:
        self._write("note", {"text": text})

    def end(self) -> None:
        """Write how the run stands now, the last line."""
        if self._totals is not None:
            self._tell_totals(self._totals)

    def _tell_totals(self, totals: Totals) -> None:
        rounded = {"per_minute": round(totals.per_minute, 2)}
        rounded["elapsed_s"] = round(totals.elapsed_s, 3)
        self._write("totals", dict(vars(totals)) | rounded)

    def _write(self, event: str, fields: dict[str, object]) -> None:
        at = self._clock().isoformat(timespec="milliseconds")
        self._stream.write(json.dumps({"event": event, "at": at} | fields) + "\n")
        self._stream.flush()


def _tells(before: BoardRow, row: BoardRow) -> bool:
    """Whether the row is worth a line: anything but a small step of its progress."""
    return replace(before, done=row.done) != row or abs(row.done - before.done) >= _STEP


def _counts(totals: Totals) -> tuple[object, ...]:
    return totals.wanted, totals.proved, totals.failed, totals.working, totals.here
