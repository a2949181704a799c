"""Lists of the fleet's devices for a cloud, made a line at a time. Does no I/O."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

NAME = "devices.csv"
COLUMNS = ("device_id", "serial_number", "fingerprint_sha256", "not_after", "status")


@dataclass(frozen=True)
class Listed:
    """A device's certificate. `is_gone` where the device has no other that is good."""

    device_id: str
    serial_number: str
    fingerprint_sha256: str
    not_after: datetime
    der: bytes
    is_revoked: bool = False
    is_gone: bool = False

    @property
    def status(self) -> str:
        return "revoked" if self.is_revoked else "good"


def csv_lines(devices: Iterable[Listed]) -> Iterator[bytes]:
    """Yield the lines of a CSV file (RFC 4180) of the certificates, with a line of headings."""
    yield _row(COLUMNS)
    for one in devices:
        ends = one.not_after.isoformat(timespec="seconds")
        yield _row((one.device_id, one.serial_number, one.fingerprint_sha256, ends, one.status))


def json_line(value: Mapping[str, object]) -> bytes:
    """Return one line of a JSON Lines file."""
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"


def json_text(value: Mapping[str, object]) -> str:
    """Return a JSON file for people to read."""
    return json.dumps(value, indent=2) + "\n"


def _row(values: Iterable[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow(values)
    return out.getvalue().encode("utf-8")
