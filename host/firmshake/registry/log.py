"""The issuance log: entries chained by SHA-256, so that a change of any shows in all that follow.

An entry is one line of JSON with sorted keys, which begins with nothing secret and holds nothing
secret. Its hash is SHA-256 over the hash before it, as 64 hexadecimal digits, a line feed, and the
line; the first follows 64 zeros. Does no I/O.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

# what the first entry follows
GENESIS = "0" * 64

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class Entry:
    """One entry: `text` is its line of JSON, `sha256` the hash that closes the chain up to it."""

    seq: int
    text: str
    sha256: str

    @property
    def fields(self) -> dict[str, str | int]:
        """What the line says; raises ValueError where it is no entry."""
        found = json.loads(self.text)
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found


def link(before: str, text: str) -> str:
    """Return the hash of the entry `text` that follows the hash `before`."""
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


def entry(
    last: Entry | None, at: datetime, event: str, fields: Mapping[str, str | int | None]
) -> Entry:
    """Return the entry that follows `last`: what happened (`event`), when, and to what.

    A field that is None is left out.
    """
    seq = last.seq + 1 if last else 1
    known = {key: value for key, value in fields.items() if value is not None}
    said = {"seq": seq, "at": at.isoformat(timespec="seconds"), "event": event} | known
    text = _ENCODER.encode(said)
    return Entry(seq, text, link(last.sha256 if last else GENESIS, text))


def broken(entries: Iterable[Entry], before: Entry | None = None) -> Iterator[str]:
    """Yield what is wrong with a chain that begins behind `before`, in words; nothing if it holds.

    After a break the chain is taken up anew, so that one change is told once.
    """
    seq, sha256 = (before.seq, before.sha256) if before else (0, GENESIS)
    for item in entries:
        if item.seq != seq + 1:
            missing = f"{seq + 1}" if item.seq == seq + 2 else f"{seq + 1} to {item.seq - 1}"
            yield f"entry {missing} is missing"
        elif item.sha256 != link(sha256, item.text):
            yield f"entry {item.seq} was changed, or one before it was taken out or put in"
        elif not _says(item):
            yield f"entry {item.seq} is not an entry"
        seq, sha256 = item.seq, item.sha256


def _says(item: Entry) -> bool:
    """Whether the line is an entry, with the number under which it is kept."""
    try:
        fields = item.fields
    except (ValueError, RecursionError):
        return False
    return fields.get("seq") == item.seq and isinstance(fields.get("event"), str)
