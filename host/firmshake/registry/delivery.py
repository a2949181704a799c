"""Devices whose keys are made here and are on their way to files: recorded first, then written.

No transaction spans a database and a file. So the registry notes beside the certificates that
their keys are on the way, and to where, until they are there. What a kill leaves of such notes are
the certificates whose keys may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select
from sqlalchemy.engine import RowMapping

from firmshake.errors import Error
from firmshake.registry import issuance
from firmshake.registry.database import READ, Database, insert, repeated
from firmshake.registry.numbers import LAST_NUMBER, Delivery, Numbers
from firmshake.registry.record import (
    CERTIFICATE_COLUMNS,
    CertificateRecord,
    Issued,
    certificate_of,
)
from firmshake.registry.schema import CERTIFICATES, DELIVERIES, DEVICES, HISTORY, UNDELIVERED

# why a certificate is revoked whose key never arrived; RFC 5280 section 5.3.1
LOST = "cessationOfOperation"
# how many ids one statement asks for; SQLite before 3.32 takes 999 values
_AT_ONCE = 500


class Deliveries:
    """The part of `Registry` that knows of keys on their way."""

    _database: Database
    _clock: Callable[[], datetime]

    def deliver(
        self,
        place: str,
        issued: Sequence[Issued],
        *,
        replacing: Sequence[str] = (),
        anew: bool = False,
    ) -> None:
        """Record certificates of named devices whose keys are on their way to `place`.

        Those with the serial numbers `replacing` never arrived: they are revoked. Raises Error,
        with nothing changed, where another one of a device is in force, unless `anew` says that it
        is to stay.
        """
        now = self._clock()
        with self._database.transaction() as connection:
            _withdraw(connection, now, replacing)
            if not anew:
                ids = [item.device_id for item in issued if item.device_id]
                _check_none_in_force(connection, now, ids)
            number = _begin(connection, place=place, began_at=now)
            _record(connection, now, issued, number)

    def claim_numbers(self, place: str, prefix: str, count: int) -> Delivery:
        """Claim the next `count` ids of a prefix for a run to `place`; nobody gets them again.

        Raises Error where they can't be device ids.
        """
        now = self._clock()
        with self._database.transaction() as connection:
            first = _last_number(connection, prefix) + 1
            claim = Numbers(prefix, first, first + count - 1)
            claim.check()
            number = _begin(connection, place=place, began_at=now, **vars(claim))
        return Delivery(number, place, now, claim)

    def record_devices(self, issued: Sequence[Issued], delivery: int) -> None:
        """Record the certificates of a part of a run, in one transaction.

        The keys of the part before have arrived by then.
        """
        now = self._clock()
        with self._database.transaction() as connection:
            _note_arrival(connection, delivery)
            _record(connection, now, issued, delivery)

    @repeated
    def withdraw(self, serials: Sequence[str]) -> None:
        """Revoke certificates whose keys never arrived."""
        now = self._clock()
        with self._database.transaction() as connection:
            _withdraw(connection, now, serials)

    def arrived(self, serials: Sequence[str]) -> None:
        """Note that the keys of certificates of named devices are where they belong."""
        with self._database.transaction() as connection:
            _strike(connection, serials)

    def finish(self, delivery: int) -> None:
        """Note that a run is done: all its keys are where they belong."""
        with self._database.transaction() as connection:
            _note_arrival(connection, delivery)
            connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id == delivery))

    def deliveries(self, place: str | None = None) -> list[Delivery]:
        """Return what is on its way, to `place` or at all, or was when it was broken off."""
        query = select(DELIVERIES).order_by(DELIVERIES.c.id)
        if place is not None:
            query = query.where(DELIVERIES.c.place == place)
        with self._database.transaction(READ) as connection:
            return [_delivery_of(row) for row in connection.execute(query).mappings()]

    def undelivered(self, place: str | None = None) -> list[tuple[Delivery, CertificateRecord]]:
        """Return the certificates whose keys may not have arrived, at `place` or anywhere."""
        query = (
            select(DELIVERIES, *CERTIFICATE_COLUMNS)
            .select_from(UNDELIVERED.join(DELIVERIES).join(CERTIFICATES))
            .order_by(CERTIFICATES.c.id)
        )
        if place is not None:
            query = query.where(DELIVERIES.c.place == place)
        with self._database.transaction(READ) as connection:
            rows = connection.execute(query).mappings()
            return [(_delivery_of(row), certificate_of(row)) for row in rows]

    def check_none_in_force(self, device_ids: Sequence[str]) -> None:
        """Raise Error where one of these devices has a certificate in force."""
        now = self._clock()
        with self._database.transaction(READ) as connection:
            _check_none_in_force(connection, now, device_ids)

    def in_force(self, device_ids: Sequence[str]) -> list[CertificateRecord]:
        """Return the certificates of these devices that are neither revoked nor expired."""
        now = self._clock()
        with self._database.transaction(READ) as connection:
            return list(_in_force(connection, now, device_ids))


def claimed(connection: Connection) -> list[Numbers]:
    """Return the numbered ids that runs have claimed which are not done."""
    query = select(DELIVERIES).where(DELIVERIES.c.prefix.is_not(None))
    found = [_delivery_of(row).claim for row in connection.execute(query).mappings()]
    return [claim for claim in found if claim is not None]


def _begin(connection: Connection, **row: Any) -> int:
    made = connection.execute(DELIVERIES.insert().values(row)).inserted_primary_key
    assert made is not None
    return int(made[0])


def _record(connection: Connection, now: datetime, issued: Sequence[Issued], delivery: int) -> None:
    device = {"state": "issued", "verdict": None, "changed_at": now, "created_at": now}
    put = insert(connection, DEVICES)
    changed = {name: put.excluded[name] for name in ("state", "verdict", "changed_at")}
    put = put.on_conflict_do_update(index_elements=["device_id"], set_=changed)
    connection.execute(put, [{"device_id": item.device_id, **device} for item in issued])
    from firmshake.ca import certificate as certificates

    issuance.record(connection, now, issued)
    serials = [certificates.serial(item.certificate) for item in issued]
    change = {"at": now, "state": "issued", "verdict": None}
    history: list[dict[str, Any]] = [
        {"device_id": item.device_id, "serial_number": serial, **change}
        for item, serial in zip(issued, serials, strict=True)
    ]
    connection.execute(HISTORY.insert(), history)
    on_the_way = [{"serial_number": serial, "delivery": delivery} for serial in serials]
    connection.execute(UNDELIVERED.insert(), on_the_way)


def _note_arrival(connection: Connection, delivery: int) -> None:
    connection.execute(delete(UNDELIVERED).where(UNDELIVERED.c.delivery == delivery))


def _withdraw(connection: Connection, now: datetime, serials: Sequence[str]) -> None:
    """Revoke them; one that was revoked meanwhile is only struck off the notes."""
    for part in _parts(serials):
        good = CERTIFICATES.c.serial_number.in_(part) & CERTIFICATES.c.revoked_at.is_(None)
        query = select(CERTIFICATES.c.serial_number).where(good).order_by(CERTIFICATES.c.id)
        issuance.revoke(connection, now, list(connection.execute(query).scalars()), LOST)
    _strike(connection, serials)


def _strike(connection: Connection, serials: Sequence[str]) -> None:
    """Take certificates off the notes, and deliveries of named devices that have none left."""
    for part in _parts(serials):
        connection.execute(delete(UNDELIVERED).where(UNDELIVERED.c.serial_number.in_(part)))
    left = select(UNDELIVERED.c.serial_number).where(UNDELIVERED.c.delivery == DELIVERIES.c.id)
    over = DELIVERIES.c.prefix.is_(None) & ~left.exists()
    connection.execute(delete(DELIVERIES).where(over))


def _check_none_in_force(connection: Connection, now: datetime, device_ids: Sequence[str]) -> None:
    found = next(_in_force(connection, now, device_ids), None)
    if found is not None:
        raise Error(
            f"{found.device_id} has a certificate that is good until {found.not_after:%Y-%m-%d}",
            hint=f"for a new key as well: firmshake ca rekey {found.device_id} --out FOLDER",
        )


def _in_force(
    connection: Connection, now: datetime, device_ids: Sequence[str]
) -> Iterator[CertificateRecord]:
    for part in _parts(device_ids):
        good: list[ColumnElement[bool]] = [
            CERTIFICATES.c.device_id.in_(part),
            CERTIFICATES.c.revoked_at.is_(None),
            CERTIFICATES.c.not_after > now,
        ]
        query = select(*CERTIFICATE_COLUMNS).where(*good).order_by(CERTIFICATES.c.id)
        yield from map(certificate_of, connection.execute(query).mappings())


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(names), _AT_ONCE):
        yield names[at : at + _AT_ONCE]


def _last_number(connection: Connection, prefix: str) -> int:
    """The highest number of that prefix which a device has, or a run has claimed."""
    query = select(func.max(DELIVERIES.c.last)).where(DELIVERIES.c.prefix == prefix)
    claimed = connection.execute(query).scalar() or 0
    ranges = (Numbers(prefix, 1_000_000, LAST_NUMBER), Numbers(prefix, 1, 999_999))
    return max(claimed, *(_last_device(connection, each) for each in ranges))


def _last_device(connection: Connection, numbers: Numbers) -> int:
    """The highest number of a device among some that have as many digits, 0 where there is none."""
    start, stop = (numbers.device_id(end) for end in (numbers.first, numbers.last))
    query = (
        select(DEVICES.c.device_id)
        .where(DEVICES.c.device_id.between(start, stop))
        .where(func.length(DEVICES.c.device_id) == len(start))
        .order_by(DEVICES.c.device_id.desc())
    )
    found = map(numbers.number, connection.execute(query).scalars())
    return next(filter(None, found), 0)


def _delivery_of(row: RowMapping) -> Delivery:
    claim = None
    if row[DELIVERIES.c.prefix] is not None:
        claim = Numbers(*(row[DELIVERIES.c[name]] for name in ("prefix", "first", "last")))
    own = DELIVERIES.c.id, DELIVERIES.c.place, DELIVERIES.c.began_at
    number, place, began_at = (row[column] for column in own)
    return Delivery(number, place, began_at, claim)
