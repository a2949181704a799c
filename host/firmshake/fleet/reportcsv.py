"""The report of a run as CSV (RFC 4180): a line a device, its text safe for spreadsheets."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import TextIO

from firmshake.fleet.report import DeviceRow
from firmshake.wording import printable

COLUMNS = (
    "device_id",
    "outcome",
    "state",
    "verdict",
    "unique_id",
    "chip",
    "firmware",
    "board",
    "serial_number",
    "fingerprint_sha256",
    "not_after",
    "revoked",
    "attempts",
    "issued_at",
    "written_at",
    "ended_at",
    "since_then",
)

# what makes a spreadsheet take text for a formula, its full-width forms too
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class CsvReport:
    """Writes to `stream`, which must be UTF-8 and leave line ends as they are."""

    def __init__(self, stream: TextIO) -> None:
        self._writer = csv.writer(stream, lineterminator="\r\n")
        self._writer.writerow(COLUMNS)

    def add(self, row: DeviceRow) -> None:
        """Write one device."""
        last = {state: at for at, state, _ in row.steps}
        ended = last.get(row.outcome)
        fields = (
            row.device_id,
            row.outcome,
            row.state,
            row.verdict,
            row.unique_id,
            row.chip,
            row.firmware,
            row.board,
            row.serial_number,
            row.fingerprint_sha256,
            _moment(row.not_after),
            row.revoked,
            str(row.attempts),
            _moment(last.get("issued")),
            _moment(last.get("written")),
            _moment(ended),
            row.since,
        )
        self._writer.writerow(map(safe, fields))


def safe(text: str) -> str:
    """Return the text with controls written out, and an apostrophe before what were a formula."""
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="seconds")
