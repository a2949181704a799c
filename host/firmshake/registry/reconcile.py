"""Holds the registry's rows against its log: each tells of the other, and neither was altered.

Memory is bounded but for the serial numbers of what was revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice

from cryptography import x509

from firmshake.ca import certificate as certificates
from firmshake.registry import log
from firmshake.registry.log import Entry
from firmshake.registry.record import CertificateRecord
from firmshake.registry.store import Registry

_ISSUED = ("issued", "imported")
_TOLD_EVERY = 500
# entries that are in memory at a time
_AT_ONCE = 1000

Fields = dict[str, str | int]
# issuer, number, next update, as the log writes them
_Crl = tuple[str, str, str]


@dataclass
class Reconciliation:
    """One walk along log and rows. `wrong` is told each contradiction, in words.

    `pending` are, for each issuer, what was revoked since its last list: serial number and reason.
    `signed` says, for each issuer, when its last list was numbered.
    """

    registry: Registry
    wrong: Callable[[str], None]
    progress: Callable[[int], None] = lambda count: None
    pending: dict[str, dict[str, str]] = field(default_factory=dict)
    signed: dict[str, datetime] = field(default_factory=dict)
    certificates: int = 0
    head: Entry | None = None
    _revoked: dict[str, tuple[str, str]] = field(default_factory=dict)
    _crls: set[_Crl] = field(default_factory=set)
    _begun: dict[_Crl, str] = field(default_factory=dict)
    _issuers: dict[str, x509.Certificate] = field(default_factory=dict)

    def walk(self) -> None:
        """Go along the whole log, and all rows beside it."""
        rows = self.registry.bodies()
        for fields in self._entries():
            event = fields["event"]
            if event in _ISSUED:
                rows = self._match(fields, rows)
            elif event == "revoked":
                how = str(fields.get("reason")), str(fields.get("at"))
                serial = str(fields.get("serial"))
                self._revoked[serial] = how
                self.pending.setdefault(str(fields.get("issuer")), {})[serial] = how[0]
            elif event == "crl":
                self._take_list(fields)
        for row, _ in rows:
            self.wrong(f"the log does not tell of the certificate {_named(row)}")
        self._revocations()
        self._lists()

    def _take_list(self, fields: Fields) -> None:
        issuer, number, until = (
            str(fields.get(key)) for key in ("issuer", "number", "next_update")
        )
        which = issuer, number, until
        self._crls.add(which)
        if "this_update" in fields:  # an entry of an older firmshake has none
            self._begun[which] = str(fields["this_update"])
        self.pending.pop(issuer, None)
        with suppress(ValueError):
            self.signed[issuer] = datetime.fromisoformat(str(fields.get("at"))).astimezone(UTC)

    def _entries(self) -> Iterator[Fields]:
        """The log's entries that can be read, the chain being looked at on the way."""
        rest = self.registry.log()
        while part := list(islice(rest, _AT_ONCE)):
            for words in log.broken(part, self.head):
                self.wrong(f"the log: {words}")
            for entry in part:
                with suppress(ValueError, RecursionError):  # it was told already
                    yield {"event": "", **entry.fields}
            self.head = part[-1]

    def _match(
        self, fields: Fields, rows: Iterator[tuple[CertificateRecord, bytes]]
    ) -> Iterator[tuple[CertificateRecord, bytes]]:
        """Hold an entry against the next row; both stand in the order of issue."""
        for row, der in rows:
            if row.serial_number == fields.get("serial"):
                self._check(fields, row, der)
                return rows
            if self.registry.certificate(str(fields.get("serial"))) is None:
                self.wrong(f"the registry lacks the certificate {_entry_named(fields)}")
                return chain([(row, der)], rows)
            self.wrong(f"the log does not tell of the certificate {_named(row)}")
        self.wrong(f"the registry lacks the certificate {_entry_named(fields)}")
        return rows

    def _check(self, fields: Fields, row: CertificateRecord, der: bytes) -> None:
        self.certificates += 1
        if self.certificates % _TOLD_EVERY == 0:
            self.progress(self.certificates)
        try:
            found = x509.load_der_x509_certificate(der)
        except ValueError:
            self.wrong(f"the certificate {_named(row)} in the registry is damaged")
            return
        says = (
            row.fingerprint_sha256,
            row.serial_number,
            row.subject,
            row.not_before,
            row.not_after,
            row.issuer,
        )
        if says != _says(found) or _logged(row).items() - fields.items():
            self.wrong(f"the certificate {_named(row)} in the registry is not the one of the log")
            return
        if row.kind != "device" and row.device_id is not None:
            what = f"the certificate {_named(row)} is a {row.kind}'s"
            self.wrong(f"{what}, and the registry gives it to the device {row.device_id}")
        self._check_signature(row, found, str(fields["event"]))
        if row.kind in ("root", "intermediate"):
            self._issuers[certificates.own_key(found)] = found

    def _check_signature(self, row: CertificateRecord, found: x509.Certificate, event: str) -> None:
        issuer = found if row.kind == "root" else self._issuers.get(row.issuer)
        if issuer is None:
            if event == "issued":
                self.wrong(f"no CA of the registry has signed the certificate {_named(row)}")
        elif not certificates.issued_by(found, issuer):
            self.wrong(f"the signature of the certificate {_named(row)} is wrong")

    def _revocations(self) -> None:
        """Every row that is revoked was revoked in the log, and the reverse."""
        for row in self.registry.revoked():
            logged = self._revoked.pop(row.serial_number, None)
            if logged is None:
                self.wrong(f"the log does not tell that {_named(row)} was revoked")
            elif logged != (row.reason, _moment(row.revoked_at)):
                how = f"{row.reason} at {_moment(row.revoked_at)}"
                self.wrong(f"{_named(row)} was revoked as {' at '.join(logged)}, and not as {how}")
        for serial in self._revoked:
            self.wrong(f"the certificate {serial} was revoked, and the registry does not say so")

    def _lists(self) -> None:
        kept = {}
        for one in self.registry.crls():
            kept[one.issuer, str(one.number), _moment(one.next_update)] = _moment(one.this_update)
        for which, began in kept.items():
            logged = self._begun.get(which, began)
            if which in self._crls and logged != began:
                self.wrong(
                    f"the revocation list {which[1]} of {which[0]} counts from {logged} on in the"
                    f" log, and from {began} on in the registry"
                )
        for which in sorted(kept.keys() ^ self._crls):
            issuer, number, until = which
            where = "log" if which in kept else "registry"
            self.wrong(
                f"the {where} lacks the revocation list {number} of {issuer}, good until {until}"
            )


def _logged(row: CertificateRecord) -> Fields:
    """What the log must say of a certificate."""
    return {
        "at": _moment(row.issued_at),
        "fingerprint": row.fingerprint_sha256,
        "kind": row.kind,
        "subject": row.subject if row.kind != "device" else row.device_id or "",
    }


def _moment(moment: datetime | None) -> str:
    """A moment as the log writes it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else ""


def _says(found: x509.Certificate) -> tuple[object, ...]:
    return (
        certificates.fingerprint(found),
        certificates.serial(found),
        certificates.subject(found)[:200],
        found.not_valid_before_utc,
        found.not_valid_after_utc,
        certificates.issuer_key(found),
    )


def _named(row: CertificateRecord) -> str:
    return f"{row.serial_number} of {row.subject}"


def _entry_named(fields: Fields) -> str:
    return f"{fields.get('serial')} of {fields.get('subject')}"
