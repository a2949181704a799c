"""What the registry answers about certificates, revocations and the log.

Whatever can be long is read a page at a time, each in a transaction of its own: memory stays
bounded, and a long reading keeps no writer waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.engine import RowMapping

from firmshake import watcher
from firmshake.registry import issuance, structure
from firmshake.registry.database import READ, Database
from firmshake.registry.log import Entry
from firmshake.registry.record import (
    CERTIFICATE_COLUMNS,
    CertificateRecord,
    CrlRecord,
    certificate_of,
)
from firmshake.registry.schema import CERTIFICATES, CRLS, LOG

if TYPE_CHECKING:
    from cryptography import x509

# rows of half a kilobyte: some megabytes at a time
_PAGE = 5000


class Queries:
    """The questions; `Registry` is what they are asked of."""

    _database: Database

    def certificate(self, serial_number: str) -> CertificateRecord | None:
        """Return the record of the certificate with that serial number, or None."""
        rows = list(self._certificates(CERTIFICATES.c.serial_number == serial_number))
        return rows[0] if rows else None

    def knows(self, certificate: x509.Certificate) -> bool:
        """Return whether this very certificate has a record."""
        from firmshake.ca import certificate as certificates

        row = self.certificate(certificates.serial(certificate))
        return row is not None and row.fingerprint_sha256 == certificates.fingerprint(certificate)

    def certificates(
        self, *, kind: str | None = None, device_id: str | None = None
    ) -> Iterator[CertificateRecord]:
        """Yield the records of all certificates, or those of a kind or a device, as issued."""
        wanted = []
        if kind is not None:
            wanted.append(CERTIFICATES.c.kind == kind)
        if device_id is not None:
            wanted.append(CERTIFICATES.c.device_id == device_id)
        return self._certificates(*wanted)

    def expiring(self, before: datetime) -> Iterator[CertificateRecord]:
        """Yield the records of what ends before that moment, as issued.

        What was revoked is left out, and what was replaced: there is a newer one that was not
        revoked, of the device, of that kind and name, or, for intermediates, one at all. So are
        the watcher's: it gets another at each start.
        """
        newer = CERTIFICATES.alias()
        named = (newer.c.subject == CERTIFICATES.c.subject) | (newer.c.kind == "intermediate")
        same = (newer.c.device_id == CERTIFICATES.c.device_id) | (
            newer.c.device_id.is_(None) & (newer.c.kind == CERTIFICATES.c.kind) & named
        )
        good = newer.c.revoked_at.is_(None)
        replaced = select(newer.c.id).where(same, good, newer.c.id > CERTIFICATES.c.id).exists()
        return self._certificates(
            CERTIFICATES.c.not_after < before,
            CERTIFICATES.c.revoked_at.is_(None),
            CERTIFICATES.c.subject != watcher.NAME,
            ~replaced,
        )

    def revoked(
        self, issuer: str | None = None, since: datetime | None = None
    ) -> Iterator[CertificateRecord]:
        """Yield the records of what `issuer`, or anybody, signed and was revoked, as issued.

        Those that had expired at the moment `since` are left out: they were on the list before.
        """
        wanted: list[ColumnElement[bool]] = [CERTIFICATES.c.revoked_at.is_not(None)]
        if issuer is not None:
            wanted.append(CERTIFICATES.c.issuer == issuer)
        if since is not None:
            wanted.append(CERTIFICATES.c.not_after >= since)
        return self._certificates(*wanted)

    def revoked_among(self, serials: Sequence[str], issuer: str) -> set[str]:
        """Return those of these serial numbers that `issuer` signed and that were revoked."""
        query = select(CERTIFICATES.c.serial_number).where(
            CERTIFICATES.c.serial_number.in_(serials),
            CERTIFICATES.c.issuer == issuer,
            CERTIFICATES.c.revoked_at.is_not(None),
        )
        with self._database.transaction(READ) as connection:
            return set(connection.execute(query).scalars())

    def bodies(self) -> Iterator[tuple[CertificateRecord, bytes]]:
        """Yield all certificates with their records, as issued, as DER that nobody has checked."""
        for row in self._pages(select(*CERTIFICATE_COLUMNS, CERTIFICATES.c.der), CERTIFICATES.c.id):
            yield certificate_of(row), row[CERTIFICATES.c.der]

    def body(self, serial_number: str) -> x509.Certificate | None:
        """Return the certificate with that serial number, or None."""
        query = select(CERTIFICATES.c.der).where(CERTIFICATES.c.serial_number == serial_number)
        with self._database.transaction(READ) as connection:
            found = connection.execute(query).scalar()
        if found is None:
            return None
        from cryptography import x509

        return x509.load_der_x509_certificate(found)

    def last_crl(self, issuer: str) -> CrlRecord | None:
        """Return the revocation list that `issuer` signed last, or None."""
        query = select(CRLS).where(CRLS.c.issuer == issuer).order_by(CRLS.c.number.desc()).limit(1)
        with self._database.transaction(READ) as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _crl_of(row)

    def crls(self) -> Iterator[CrlRecord]:
        """Yield all revocation lists, as signed."""
        return map(_crl_of, self._pages(select(CRLS), CRLS.c.id))

    def log(self, after: int = 0) -> Iterator[Entry]:
        """Yield the entries of the log behind the one of that number."""
        for row in self._pages(select(LOG), LOG.c.seq, after):
            yield Entry(row["seq"], row["entry"], row["sha256"])

    def head(self) -> Entry | None:
        """Return the last entry of the log, or None."""
        with self._database.transaction(READ) as connection:
            return issuance.last(connection)

    def altered(self) -> list[str]:
        """Return how tables and triggers are not those that firmshake makes, in words."""
        with self._database.transaction(READ) as connection:
            return list(structure.differences(connection))

    def count(self, kind: str, now: datetime) -> tuple[int, int, int]:
        """Return how many certificates of a kind are good, revoked, and expired but not revoked."""
        revoked = CERTIFICATES.c.revoked_at.is_not(None)
        ended = CERTIFICATES.c.not_after < now
        query = select(
            func.count(),
            func.count().filter(revoked),
            func.count().filter(ended & ~revoked),
        ).where(CERTIFICATES.c.kind == kind)
        with self._database.transaction(READ) as connection:
            every, gone, old = connection.execute(query).one()
        return every - gone - old, gone, old

    def _certificates(self, *wanted: ColumnElement[bool]) -> Iterator[CertificateRecord]:
        query = select(*CERTIFICATE_COLUMNS).where(*wanted)
        return map(certificate_of, self._pages(query, CERTIFICATES.c.id))

    def _pages(
        self, query: Select[Any], key: ColumnElement[int], after: int = 0
    ) -> Iterator[RowMapping]:
        paged = query.add_columns(key.label("_key")).order_by(key).limit(_PAGE)
        while True:
            with self._database.transaction(READ) as connection:
                rows = connection.execute(paged.where(key > after)).mappings().all()
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1]["_key"]


def _crl_of(row: RowMapping) -> CrlRecord:
    return CrlRecord(row["issuer"], row["number"], row["this_update"], row["next_update"])
