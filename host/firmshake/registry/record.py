"""What the registry answers with, and how it is asked. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.engine import RowMapping

from firmshake.registry.schema import CERTIFICATES, DEVICES


@dataclass(frozen=True)
class CertificateRecord:
    """A certificate that was issued: never the key. `serial_number` is lower-case hexadecimal."""

    serial_number: str
    fingerprint_sha256: str
    device_id: str
    not_before: datetime
    not_after: datetime
    issued_at: datetime


@dataclass(frozen=True)
class DeviceRecord:
    """A device as it stands. `certificate` is the one issued last; what is unknown is None."""

    device_id: str
    unique_id: str | None
    chip: str | None
    firmware: str | None
    state: str
    verdict: str | None
    created_at: datetime
    changed_at: datetime
    certificate: CertificateRecord | None


@dataclass(frozen=True)
class Change:
    """One row of a device's history."""

    at: datetime
    device_id: str
    state: str
    verdict: str | None
    serial_number: str | None


def devices_query() -> Select[Any]:
    """Return the query for all devices, by id, each beside the last certificate it was given."""
    every = CERTIFICATES.alias()
    last = (
        select(func.max(every.c.id))
        .where(every.c.device_id == DEVICES.c.device_id)
        .correlate(DEVICES)
        .scalar_subquery()
    )
    both = DEVICES.outerjoin(CERTIFICATES, CERTIFICATES.c.id == last)
    return select(DEVICES, CERTIFICATES).select_from(both).order_by(DEVICES.c.device_id)


def device_of(row: RowMapping) -> DeviceRecord:
    """Return the record in a row of that query."""
    device = {field.name: row[DEVICES.c[field.name]] for field in fields(DeviceRecord)[:-1]}
    if row[CERTIFICATES.c.id] is None:
        return DeviceRecord(**device, certificate=None)
    columns = [field.name for field in fields(CertificateRecord)]
    last = CertificateRecord(**{name: row[CERTIFICATES.c[name]] for name in columns})
    return DeviceRecord(**device, certificate=last)
