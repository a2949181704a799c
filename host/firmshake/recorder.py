"""A board's flight recorder: its file, read into records; as docs/serial-protocol.md has it.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from firmshake.event import Event
from firmshake.reader import Reader
from firmshake.verdict import remedy

# What a record's line has beside its evidence
_OWN = ("n", "boot", "at")
# 9999-12-31: what no date goes beyond
_LATEST = 253402300799


@dataclass(frozen=True)
class Record:
    """A verdict that a board came to: `count` times at least, the last time in its boot `boot`.

    `seq` is the number of the record's last change: the highest is the newest. `uptime_ms` counts
    from that boot, and `at` is None where the board did not know the time.
    """

    seq: int
    boot: int
    at: datetime | None
    uptime_ms: int
    count: int
    verdict: str
    stage: str
    why: str
    fix: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    sent: bool = False

    def to_dict(self) -> dict[str, object]:
        """The record in JSON's types."""
        at = self.at.strftime("%Y-%m-%dT%H:%M:%SZ") if self.at else None
        return {**asdict(self), "at": at}


@dataclass(frozen=True)
class Recording:
    """What a recorder's file holds: records, the oldest first; broker has them up to `sent`."""

    records: tuple[Record, ...]
    sent: int
    writes: int


def parse(data: bytes) -> Recording:
    """Read a recorder's file; what is damaged in it is left out. Raises nothing."""
    reader = Reader()
    found = [each for each in reader.feed(data) + reader.close() if isinstance(each, Event)]
    heads = [event for event in found if event.state == "info"]
    sent = max((_number(event, "sent") for event in heads), default=0)
    writes = max((_number(event, "writes") for event in heads), default=0)
    records = [_record(event, sent) for event in found if _is_record(event)]
    return Recording(tuple(sorted(records, key=lambda record: record.seq)), sent, writes)


def _is_record(event: Event) -> bool:
    return event.state == "fail" and "n" in event.fields and "boot" in event.fields


def _record(event: Event, sent: int) -> Record:
    verdict = event.verdict
    assert verdict is not None
    why, fix = remedy(event)
    return Record(
        seq=event.seq,
        boot=_number(event, "boot"),
        at=_time(event),
        uptime_ms=event.ms,
        count=_number(event, "n"),
        verdict=verdict,
        stage=event.stage,
        why=why,
        fix=fix,
        evidence={key: value for key, value in event.evidence.items() if key not in _OWN},
        sent=event.seq <= sent,
    )


def _time(event: Event) -> datetime | None:
    seconds = _number(event, "at")
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= _LATEST else None


def _number(event: Event, key: str) -> int:
    """A field's number, 0 where it is none."""
    text = event.fields.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
