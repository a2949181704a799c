"""What `firmshake fleet watch` shows: lines for a log, or one JSON object a line."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import IO, TYPE_CHECKING, Literal

from rich.console import Console

from firmshake.wording import plural, printable

if TYPE_CHECKING:
    from firmshake.fleet.watch import Counts, View
    from firmshake.registry.fleetrecord import Diagnosis

Kind = Literal["auto", "plain", "json"]

# the width of the longest bar of a histogram
_WIDTH = 40


@contextlib.contextmanager
def view(kind: Kind, console: Console, title: str) -> Iterator[View]:
    """Give a View on standard output; when the context ends, how it went is said once more."""
    if kind == "auto" and console.is_terminal and not console.is_dumb_terminal:
        from firmshake.cli.fleet.watchscreen import Screen

        with Screen(console, title).drawn() as screen:
            yield screen
        return
    lines = JsonLines(console.file) if kind == "json" else PlainLines(console.file)
    try:
        yield lines
    finally:
        lines.end()


def said(diagnosis: Diagnosis) -> tuple[str, str]:
    """Return why a board failed and what to do, with its evidence; empty where it is ready."""
    from firmshake_agent import causes

    known = _cause(diagnosis.verdict)
    if known is None:
        return "", ""
    evidence: Mapping[str, object] = json.loads(diagnosis.evidence)
    why, fix = (causes.fill(text, dict(evidence)) for text in known)
    return printable(why), printable(fix)


@functools.lru_cache(maxsize=1024)
def _cause(verdict: str) -> tuple[str, str] | None:
    from firmshake_agent import causes

    found: tuple[str, str] | None = causes.lookup(verdict)
    return found


def bars(stages: Mapping[str, int], width: int = _WIDTH, ascii_only: bool = False) -> list[str]:
    """Return a histogram of failing stages: a line each, with its bar and its number."""
    most = max(stages.values(), default=0)
    names = max(map(len, stages), default=0)
    block = "#" if ascii_only else "█"
    return [
        f"{printable(stage):<{names}}  {block * max(round(count * width / most), 1)} {count:,}"
        for stage, count in stages.items()
    ]


def summary(counts: Counts) -> str:
    """Return how a watching goes, in a line."""
    parts = [
        f"{counts.boards:,} {plural(counts.boards, 'board')} heard",
        f"{counts.ready:,} without a failure",
        f"{counts.messages:,} {plural(counts.messages, 'message')}",
    ]
    if counts.refused:
        parts.append(f"{counts.refused:,} not believed")
    if counts.unknown:
        parts.append(f"{counts.unknown:,} of unknown devices")
    return ", ".join(parts)


def zone(moment: datetime) -> timezone:
    """Return the zone that this computer has at that moment; as text it is "UTC+02:00"."""
    return timezone(moment.astimezone().utcoffset() or timedelta())


class PlainLines:
    """A View that writes lines to `stream`: when, device id, verdict, how often, why and fix."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._counts: Counts | None = None

    def heard(self, diagnoses: Sequence[Diagnosis], at: datetime) -> None:
        for one in diagnoses:
            why, fix = said(one)
            times = f" ({one.count:,} times)" if one.count > 1 else ""
            words = f": {why} fix: {fix}" if why else ""
            self._line(f"{one.device_id} {one.verdict}{times}{words}", at)
        self._stream.flush()

    def counts(self, counts: Counts) -> None:
        self._counts = counts

    def note(self, text: str) -> None:
        self._line(printable(text), datetime.now(UTC))
        self._stream.flush()

    def end(self) -> None:
        """Write how it went, and the histogram of the registry."""
        if self._counts is not None:
            self._line(summary(self._counts), datetime.now(UTC))
            for bar in bars(self._counts.stages, ascii_only=True):
                self._stream.write(f"  {bar}\n")
        self._stream.flush()

    def _line(self, text: str, at: datetime) -> None:
        self._stream.write(f"{at.astimezone().isoformat(timespec='seconds')} {text}\n")


class JsonLines:
    """A View that writes JSON objects to `stream`: "verdict", "note" and, in the end, "counts"."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._counts: Counts | None = None

    def heard(self, diagnoses: Sequence[Diagnosis], at: datetime) -> None:
        for one in diagnoses:
            why, fix = said(one)
            fields = {
                "device_id": one.device_id,
                "stage": one.stage,
                "verdict": one.verdict,
                "count": one.count,
                "happened_at": one.at.isoformat() if one.at else None,
                "why": why,
                "fix": fix,
                "evidence": json.loads(one.evidence),
            }
            self._write("verdict", fields, at)
        self._stream.flush()

    def counts(self, counts: Counts) -> None:
        self._counts = counts

    def note(self, text: str) -> None:
        self._write("note", {"text": text}, datetime.now(UTC))
        self._stream.flush()

    def end(self) -> None:
        """Write how it went, and the histogram of the registry."""
        if self._counts is not None:
            self._write("counts", asdict(self._counts), datetime.now(UTC))
        self._stream.flush()

    def _write(self, event: str, fields: Mapping[str, object], at: datetime) -> None:
        stamp = at.astimezone(UTC).isoformat(timespec="milliseconds")
        self._stream.write(json.dumps({"event": event, "at": stamp, **fields}) + "\n")
