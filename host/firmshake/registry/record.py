"""What the registry is given and answers with, and how it is asked. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, exists, func, select
from sqlalchemy.engine import RowMapping

from firmshake.registry.schema import CERTIFICATES, DEVICES

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True)
class Issued:
    """A certificate that was signed, to be recorded. `kind` is one of KINDS.

    `device_id` is that of a device's. `event` is what the log calls it: "issued", or "imported"
    where another CA signed it.
    """

    kind: str
    certificate: x509.Certificate
    device_id: str | None = None
    event: str = "issued"


@dataclass(frozen=True)
class CertificateRecord:
    """A certificate that was issued: never the key. `serial_number` is lower-case hexadecimal.

    `issuer` is the key identifier of the CA that signed it, in lower-case hexadecimal. `reason` is
    one of RFC 5280 section 5.3.1, and None like `revoked_at` where it was not revoked.
    """

    serial_number: str
    fingerprint_sha256: str
    kind: str
    subject: str
    device_id: str | None
    issuer: str
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    revoked_at: datetime | None
    reason: str | None


@dataclass(frozen=True)
class CrlRecord:
    """A revocation list that was signed; `issuer` as in a certificate's record."""

    issuer: str
    number: int
    this_update: datetime
    next_update: datetime


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
    unique_id: str | None


CERTIFICATE_COLUMNS = [CERTIFICATES.c[field.name] for field in fields(CertificateRecord)]


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
    return select(DEVICES, *CERTIFICATE_COLUMNS).select_from(both).order_by(DEVICES.c.device_id)


def proved_devices(at: datetime) -> Select[Any]:
    """Return the query for the ids of devices that are proved, with a certificate in force."""
    in_force = exists().where(
        CERTIFICATES.c.device_id == DEVICES.c.device_id,
        CERTIFICATES.c.revoked_at.is_(None),
        CERTIFICATES.c.not_after > at,
    )
    return select(DEVICES.c.device_id).where(DEVICES.c.state == "proved", in_force)


def device_of(row: RowMapping) -> DeviceRecord:
    """Return the record in a row of that query."""
    device = {field.name: row[DEVICES.c[field.name]] for field in fields(DeviceRecord)[:-1]}
    known = row[CERTIFICATES.c.serial_number] is not None
    return DeviceRecord(**device, certificate=certificate_of(row) if known else None)


def certificate_of(row: RowMapping) -> CertificateRecord:
    """Return the record in a row that has the certificates' columns."""
    return CertificateRecord(**{column.name: row[column] for column in CERTIFICATE_COLUMNS})


def change_of(row: RowMapping) -> Change:
    """Return the change in a row of the history."""
    return Change(**{field.name: row[field.name] for field in fields(Change)})
