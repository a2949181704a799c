"""A board's flight recorder: its file, read into records; as docs/serial-protocol.md has it.

Does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from firmshake.event import Event
from firmshake.reader import Reader
from firmshake.verdict import remedy
from firmshake_agent.recorder import FILE

PATH = f"/firmshake/{FILE}"  # on the board

# What a record's line has beside the verdict and its evidence
_OWN = ("n", "boot", "at")
# 9999-12-31T23:59:59Z: no date goes beyond
_LATEST = 253402300799


@dataclass(frozen=True)
class Record:
    """A failure that came `count` times at least, the last time in the boot `boot`.

    `seq` is the number of the record's last change: the highest is the newest. `event` is the
    failure as it was last written down, its `ms` since that boot. `at` is None where the board did
    not know the time; `sent` says whether a broker has the record.
    """

    seq: int
    boot: int
    at: datetime | None
    count: int
    event: Event
    sent: bool

    @property
    def verdict(self) -> str:
        """`stage/cause`, or `tls.step/cause`."""
        return self.event.verdict or ""

    def to_dict(self) -> dict[str, object]:
        """The record in JSON's types, with its why and fix."""
        why, fix = remedy(self.event)
        return {
            "verdict": self.verdict,
            "stage": self.event.stage,
            "count": self.count,
            "at": f"{self.at:%Y-%m-%dT%H:%M:%SZ}" if self.at else None,
            "boot": self.boot,
            "ms": self.event.ms,
            "seq": self.seq,
            "sent": self.sent,
            "why": why,
            "fix": fix,
            "evidence": self.event.evidence,
        }


@dataclass(frozen=True)
class Recording:
    """What a recorder's file holds: records, the oldest first; a broker has them up to `sent`."""

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
    return event.state == "fail" and {"n", "boot", "cause"} <= event.fields.keys()


def _record(event: Event, sent: int) -> Record:
    bare = {key: value for key, value in event.fields.items() if key not in _OWN}
    seconds = _number(event, "at")
    return Record(
        seq=event.seq,
        boot=_number(event, "boot"),
        at=datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= _LATEST else None,
        count=_number(event, "n"),
        event=replace(event, fields=bare),
        sent=event.seq <= sent,
    )


def _number(event: Event, key: str) -> int:
    """A field's number, 0 where it is none."""
    text = event.fields.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
