"""The registry's tables, and how a moment is kept in them. Does no I/O.

There is no column for a private key, and there must never be one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, TypeDecorator

# what `PRAGMA application_id` says, so that no other SQLite file passes for a registry: "fshk"
APPLICATION_ID = 0x6673686B
# what `PRAGMA user_version` says; it goes up when a table changes
VERSION = 1

STATES = ("planned", "issued", "written", "proved", "failed")


class Moment(TypeDecorator[datetime]):
    """A moment as ISO 8601 text in UTC: it sorts as it stands, and a person can read it."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="seconds")

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


METADATA = MetaData()

DEVICES = Table(
    "devices",
    METADATA,
    Column("device_id", String(64), primary_key=True),
    Column("unique_id", String(64)),
    Column("chip", String(64)),
    Column("firmware", String(200)),
    Column("state", String(16), nullable=False),
    Column("verdict", String(200)),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
)

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("id", Integer, primary_key=True),  # the order of issue
    # RFC 5280 section 4.1.2.2: 20 octets at most
    Column("serial_number", String(40), nullable=False, unique=True),
    Column("fingerprint_sha256", String(64), nullable=False, unique=True),
    Column("device_id", ForeignKey(DEVICES.c.device_id), nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("not_after", Moment, nullable=False, index=True),
    Column("issued_at", Moment, nullable=False),
    Index("certificates_of_device", "device_id", "id"),
)

# one row a change, never altered
HISTORY = Table(
    "history",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("device_id", ForeignKey(DEVICES.c.device_id), nullable=False),
    Column("state", String(16), nullable=False),
    Column("verdict", String(200)),
    Column("serial_number", ForeignKey(CERTIFICATES.c.serial_number)),
    Index("history_of_device", "device_id", "id"),
)
