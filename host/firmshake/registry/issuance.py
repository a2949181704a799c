"""What the CA does, as rows: certificates, revocations and lists, each with its entry in the log.

Every function works within the transaction of its caller, which holds the write lock: so the log
has one order, and its entry and the row that it tells of are there together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import IntegrityError

from firmshake.errors import Error
from firmshake.registry.log import Entry, entry
from firmshake.registry.record import CrlRecord, Issued
from firmshake.registry.schema import CERTIFICATES, CRLS, LOG

SUPERSEDED = "superseded"  # RFC 5280 section 5.3.1

Event = tuple[str, Mapping[str, str | int | None]]


def last(connection: Connection) -> Entry | None:
    """Return the last entry of the log, None where it is empty."""
    row = connection.execute(select(LOG).order_by(LOG.c.seq.desc()).limit(1)).first()
    return None if row is None else Entry(row.seq, row.entry, row.sha256)


def append(connection: Connection, at: datetime, events: Iterable[Event]) -> None:
    """Add entries to the log, in their order."""
    before, rows = last(connection), []
    for event, fields in events:
        before = entry(before, at, event, fields)
        rows.append({"seq": before.seq, "entry": before.text, "sha256": before.sha256})
    if rows:
        connection.execute(LOG.insert(), rows)


def record(connection: Connection, at: datetime, issued: Sequence[Issued]) -> None:
    """Record certificates.

    Raises Error where the serial number or fingerprint of one is known, or its CA was revoked.
    """
    _check_issuers(connection, issued)
    rows = [_row(item, at) for item in issued]
    try:
        # PostgreSQL answers nothing more in a transaction in which something has failed
        with connection.begin_nested():
            connection.execute(CERTIFICATES.insert(), rows)
    except IntegrityError:
        raise Error(
            f"{_known(connection, rows)} is in the registry already",
            hint="nothing was recorded; run the command again for a new certificate",
        ) from None
    events = [(item.event, _logged(row)) for item, row in zip(issued, rows, strict=True)]
    append(connection, at, events)


def supersede(
    connection: Connection, at: datetime, device_id: str, kept: str | None = None
) -> list[str]:
    """Revoke a device's certificates that are older than `kept`; return their serial numbers.

    `kept` is a serial number, that of the last one where it is None.
    """
    mine = CERTIFICATES.c.device_id == device_id
    which = mine if kept is None else mine & (CERTIFICATES.c.serial_number == kept)
    newest = select(func.max(CERTIFICATES.c.id)).where(which).scalar_subquery()
    old = select(CERTIFICATES.c.serial_number).where(
        mine, CERTIFICATES.c.id < newest, CERTIFICATES.c.revoked_at.is_(None)
    )
    serials = list(connection.execute(old.order_by(CERTIFICATES.c.id)).scalars())
    revoke(connection, at, serials, SUPERSEDED)
    return serials


def revoke(connection: Connection, at: datetime, serials: Sequence[str], reason: str) -> None:
    """Mark the certificates of these serial numbers as revoked; they are known and are not yet."""
    events: list[Event] = []
    for serial in serials:
        row = CERTIFICATES.c.serial_number == serial
        changed = update(CERTIFICATES).where(row, CERTIFICATES.c.revoked_at.is_(None))
        done = connection.execute(changed.values(revoked_at=at, reason=reason))
        assert done.rowcount == 1, serial
        issuer = connection.execute(select(CERTIFICATES.c.issuer).where(row)).scalar_one()
        events.append(("revoked", {"serial": serial, "reason": reason, "issuer": issuer}))
    append(connection, at, events)


def number_crl(
    connection: Connection,
    at: datetime,
    issuer: str,
    this_update: datetime,
    next_update: datetime,
) -> CrlRecord:
    """Record a revocation list that is about to be signed, and return it with its number.

    A number is never given twice (RFC 5280 section 5.2.3); one whose list was not signed in the
    end leaves a gap, which is allowed.
    """
    query = select(func.max(CRLS.c.number)).where(CRLS.c.issuer == issuer)
    number = (connection.execute(query).scalar() or 0) + 1
    made = CrlRecord(issuer, number, this_update, next_update)
    connection.execute(CRLS.insert().values(vars(made)))
    until = next_update.isoformat(timespec="seconds")
    since = this_update.isoformat(timespec="seconds")
    fields = {"issuer": issuer, "number": number, "this_update": since, "next_update": until}
    append(connection, at, [("crl", fields)])
    return made


def _check_issuers(connection: Connection, issued: Sequence[Issued]) -> None:
    """Raise Error where one was signed by a CA that was revoked: what it signs opens nothing."""
    columns = (CERTIFICATES.c.der, CERTIFICATES.c.revoked_at)
    kind = CERTIFICATES.c.kind == "intermediate"
    revoked = select(CERTIFICATES.c.id).where(kind, CERTIFICATES.c.revoked_at.is_not(None))
    if connection.execute(revoked.limit(1)).first() is None:
        return
    # slow to load, and where nothing is signed there is no need of it
    from cryptography import x509

    from firmshake.ca import certificate as certificates

    good: set[str] = set()
    gone: set[str] = set()
    for der, when in connection.execute(select(*columns).where(kind)):
        key = certificates.own_key(x509.load_der_x509_certificate(der))
        (good if when is None else gone).add(key)
    for item in issued:
        if certificates.issuer_key(item.certificate) in gone - good and item.event == "issued":
            raise Error(
                "the CA that issues was revoked",
                hint="firmshake ca show tells which one issues now; run the command again",
            )


def _row(issued: Issued, at: datetime) -> dict[str, Any]:
    from firmshake.ca import certificate as certificates

    certificate = issued.certificate
    return {
        "serial_number": certificates.serial(certificate),
        "fingerprint_sha256": certificates.fingerprint(certificate),
        "kind": issued.kind,
        "subject": certificates.subject(certificate)[:200],
        "device_id": issued.device_id,
        "issuer": certificates.issuer_key(certificate),
        "der": certificates.der(certificate),
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
        "issued_at": at,
    }


def _logged(row: Mapping[str, Any]) -> dict[str, str | int | None]:
    return {
        "kind": row["kind"],
        "subject": row["subject"],
        "serial": row["serial_number"],
        "fingerprint": row["fingerprint_sha256"],
        "issuer": row["issuer"],
        "not_after": row["not_after"].isoformat(timespec="seconds"),
    }


def _known(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> str:
    """The one of these that is known, in words; or that they hold one twice."""
    for row in rows:
        query = select(CERTIFICATES.c.id).where(
            (CERTIFICATES.c.serial_number == row["serial_number"])
            | (CERTIFICATES.c.fingerprint_sha256 == row["fingerprint_sha256"])
        )
        if connection.execute(query).first() is not None:
            return f"the certificate {row['serial_number']} of {row['subject']!r}"
    return "one of the certificates"
