"""The registry: which devices there are, which certificates they were given, how far each has come.

It holds certificates, dates, states and the log; never a private key. What it answers about
certificates is in query.py; keys on their way to a file are in delivery.py; a fleet's runs and who
works on what are in fleet.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, select

from firmshake.errors import Error
from firmshake.registry import claims, issuance, leaving, place
from firmshake.registry.database import CLAIM, READ, WRITE, Database, insert, repeated
from firmshake.registry.delivery import Deliveries
from firmshake.registry.fleet import Fleet
from firmshake.registry.query import Queries
from firmshake.registry.record import (
    Change,
    CrlRecord,
    DeviceRecord,
    Issued,
    change_of,
    device_of,
    devices_query,
)
from firmshake.registry.schema import CERTIFICATES, DEVICES, HISTORY, STATES

if TYPE_CHECKING:
    from cryptography import x509


def _now() -> datetime:
    return datetime.now(UTC)


class Registry(Queries, Deliveries, Fleet):
    """A registry; threads may share one. Nothing of a file is held open between two calls.

    Every method raises Error where the file can't be read or written.

    Each change is one transaction: after a kill at any moment it is there whole or not at all.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = _now) -> None:
        self._database, self._clock = database, clock

    @classmethod
    def create(cls, where: Path | str, clock: Callable[[], datetime] = _now) -> Self:
        """Make a new, empty registry in a file or, by URL, in an empty PostgreSQL database.

        Raises Error where one is there already.
        """
        return cls(place.created(where), clock)

    @classmethod
    def open(cls, where: Path | str, clock: Callable[[], datetime] = _now) -> Self:
        """Return the registry at a path or PostgreSQL URL.

        Raises Error where there is none, or an older or newer one.
        """
        return cls(place.opened(where), clock)

    @property
    def where(self) -> str:
        """The path or URL, for messages; no password is in it."""
        return self._database.where

    @repeated
    def record_issued(
        self,
        device_id: str,
        certificate: x509.Certificate,
        *,
        unique_id: str | None = None,
        chip: str | None = None,
        firmware: str | None = None,
        token: str | None = None,
    ) -> None:
        """Record that `certificate` was issued to `device_id`, which is then in state "issued".

        Raises Error where its serial number or fingerprint is known already, and ClaimLost where
        the claim of that token has gone.
        """
        from firmshake.ca import certificate as certificates

        now = self._clock()
        known = {"unique_id": unique_id, "chip": chip, "firmware": firmware}
        with self._database.transaction() as connection:
            claims.check(connection, device_id, token)
            _put_device(connection, device_id, "issued", None, now, known)
            issuance.record(connection, now, [Issued("device", certificate, device_id)])
            serial = certificates.serial(certificate)
            _put_history(connection, device_id, "issued", None, now, serial, unique_id)

    def record(self, *issued: Issued) -> None:
        """Record certificates: of the CA itself, of brokers, and what was made elsewhere.

        A device that one of them has is in state "issued" then. Raises Error, with none of them
        recorded, where the serial number or fingerprint of one is known already.
        """
        from firmshake.ca import certificate as certificates

        now = self._clock()
        with self._database.transaction() as connection:
            for item in issued:
                if item.device_id is not None:
                    _put_device(connection, item.device_id, "issued", None, now, {})
            issuance.record(connection, now, issued)
            for item in issued:
                if item.device_id is not None:
                    serial = certificates.serial(item.certificate)
                    _put_history(
                        connection, item.device_id, "issued", None, now, serial, unique_id=None
                    )

    def revoke(self, serials: Sequence[str], reason: str) -> None:
        """Revoke the certificates of these serial numbers, all or, with an Error, none."""
        with self._database.transaction() as connection:
            for serial in serials:
                _check_revocable(connection, serial)
            issuance.revoke(connection, self._clock(), serials, reason)

    def number_crl(self, issuer: str, this_update: datetime, next_update: datetime) -> CrlRecord:
        """Record the revocation list that `issuer` is about to sign; return it with its number."""
        with self._database.transaction() as connection:
            now = self._clock()
            return issuance.number_crl(connection, now, issuer, this_update, next_update)

    @repeated
    def set_state(
        self,
        device_id: str,
        state: str,
        verdict: str | None = None,
        *,
        unique_id: str | None = None,
        chip: str | None = None,
        firmware: str | None = None,
        serial_number: str | None = None,
        token: str | None = None,
    ) -> list[str]:
        """Record that `device_id`, known or new, is in `state` (one of STATES).

        The verdict replaces the last one, by None too; of the rest only what is given is changed.
        A device that is "written" has the certificate of that serial number, its last where none
        is given: those before it are revoked, as superseded, and their serial numbers returned. So
        are those that its board had as another device, which has no board then.

        Raises ClaimLost, with nothing changed, where the claim of that token has gone.
        """
        assert state in STATES, state
        now = self._clock()
        known = {"unique_id": unique_id, "chip": chip, "firmware": firmware}
        # only what may revoke has to wait for the log
        mode = WRITE if state == "written" else CLAIM
        with self._database.transaction(mode) as connection:
            claims.check(connection, device_id, token)
            _put_device(connection, device_id, state, verdict, now, known)
            _put_history(connection, device_id, state, verdict, now, None, unique_id)
            if state == "written":
                # the old key is gone from the board; should somebody have it, it opens nothing
                gone = issuance.supersede(connection, now, device_id, serial_number)
                return gone + leaving.leave_others(connection, now, device_id)
        return []

    def device(self, device_id: str) -> DeviceRecord | None:
        """Return what is known of `device_id`, or None."""
        query = devices_query().where(DEVICES.c.device_id == device_id)
        with self._database.transaction(READ) as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else device_of(row)

    def state(self, device_id: str) -> str | None:
        """Return the state that `device_id` is in, one of STATES, or None where it is not known."""
        query = select(DEVICES.c.state).where(DEVICES.c.device_id == device_id)
        with self._database.transaction(READ) as connection:
            return connection.execute(query).scalar()

    def device_on(self, unique_id: str) -> str | None:
        """Return the id of the device that the board with this unique id was last, or None."""
        query = (
            select(DEVICES.c.device_id)
            .where(DEVICES.c.unique_id == unique_id)
            .order_by(DEVICES.c.changed_at.desc())
            .limit(1)
        )
        with self._database.transaction(READ) as connection:
            return connection.execute(query).scalar()

    def devices(self) -> list[DeviceRecord]:
        """Return all devices, by id."""
        with self._database.transaction(READ) as connection:
            return [device_of(row) for row in connection.execute(devices_query()).mappings()]

    def history(self, device_id: str) -> list[Change]:
        """Return the changes of `device_id`, the oldest first."""
        query = select(HISTORY).where(HISTORY.c.device_id == device_id).order_by(HISTORY.c.id)
        with self._database.transaction(READ) as connection:
            return [change_of(row) for row in connection.execute(query).mappings()]


def _check_revocable(connection: Connection, serial: str) -> None:
    columns = (CERTIFICATES.c.subject, CERTIFICATES.c.revoked_at, CERTIFICATES.c.reason)
    query = select(*columns).where(CERTIFICATES.c.serial_number == serial)
    found = connection.execute(query).first()
    if found is None:
        raise Error(f"no certificate {serial} in the registry", hint="see: firmshake ca list")
    if not 0 < int(serial, 16) < 1 << 159:
        raise Error(
            f"the certificate {serial} of {found.subject!r} can't stand in a revocation list:"
            " its serial number has no 1 to 159 bits",
            hint="it was made elsewhere; replace it, and take its CA out of the brokers' trust",
        )
    if found.revoked_at is not None:
        raise Error(
            f"the certificate {serial} of {found.subject!r} was revoked already, on"
            f" {found.revoked_at:%Y-%m-%d} as {found.reason}"
        )


def _put_device(
    connection: Connection,
    device_id: str,
    state: str,
    verdict: str | None,
    now: datetime,
    known: Mapping[str, str | None],
) -> None:
    changed: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
    changed |= {"state": state, "verdict": verdict, "changed_at": now}
    row = {"device_id": device_id, "created_at": now} | changed
    put = insert(connection, DEVICES).values(row)
    connection.execute(put.on_conflict_do_update(index_elements=["device_id"], set_=changed))


def _put_history(
    connection: Connection,
    device_id: str,
    state: str,
    verdict: str | None,
    now: datetime,
    serial: str | None,
    unique_id: str | None,
) -> None:
    row = {"at": now, "device_id": device_id, "state": state, "verdict": verdict}
    row |= {"serial_number": serial, "unique_id": unique_id}
    connection.execute(HISTORY.insert().values(row))
