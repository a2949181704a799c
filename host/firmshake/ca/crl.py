"""A certificate revocation list (RFC 5280 section 5) in parts, so that its length costs no memory.

`cryptography` makes a list in one go only, with every entry of it in memory. Here it makes the
entries a thousand at a time, as short lists of their own, and the list without entries; what it
encoded is then put together. No certificate or list is encoded by hand but for three lengths.

Does no I/O.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from firmshake.ca import certificate
from firmshake.ca.certificate import Issuer
from firmshake.ca.identity import PrivateKey
from firmshake.errors import Error
from firmshake_agent import der

# RFC 5280 section 5.3.1, which says of `unspecified` that it should be left out. Not taken are
# removeFromCRL, which stands in delta CRLs only, and aACompromise: there are no attributes here.
REASONS: dict[str, x509.ReasonFlags | None] = {
    "unspecified": None,
    "keyCompromise": x509.ReasonFlags.key_compromise,
    "cACompromise": x509.ReasonFlags.ca_compromise,
    "affiliationChanged": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessationOfOperation": x509.ReasonFlags.cessation_of_operation,
    "certificateHold": x509.ReasonFlags.certificate_hold,
    "privilegeWithdrawn": x509.ReasonFlags.privilege_withdrawn,
}

# Beyond some hundreds, more at a time saves nothing; the builder copies its list at each entry
CHUNK = 500
# RFC 5280 sections 4.1.2.2 and 5.2.3: serial numbers and CRL numbers have 20 octets at most, and
# the first bit of a number that is positive is 0
MOST_BITS = 159
# the first year of UTCTime (RFC 5280 section 4.1.2.5.1)
EARLIEST_YEAR = 1950


@dataclass(frozen=True)
class Revoked:
    """An entry of the list: serial number, moment of revocation, and one of REASONS or None.

    Raises Error where one of them can't stand in a CRL.
    """

    serial: int
    at: datetime
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.serial <= 0 or self.serial.bit_length() > MOST_BITS:
            raise Error(
                f"serial number {self.serial:x} can't stand in a CRL: it has no 1 to 159 bits"
            )
        if self.at.year < EARLIEST_YEAR:
            raise Error(f"{self.at:%Y-%m-%d} can't be a date of revocation")
        check_reason(self.reason)


def check_reason(reason: str | None) -> None:
    """Raise Error where `reason` is none of REASONS."""
    if reason is not None and reason not in REASONS:
        raise Error(
            f"{reason!r} is no reason for a revocation", hint=f"give one of {', '.join(REASONS)}"
        )


@dataclass(frozen=True)
class Frame:
    """A list without its entries: the DER before them, behind them, and the signature's algorithm.

    `head` is TBSCertList from version to nextUpdate, `tail` its extensions, `algorithm` the
    signature's AlgorithmIdentifier (RFC 5280 section 5.1).
    """

    head: bytes
    tail: bytes
    algorithm: bytes

    def to_be_signed(self, size: int) -> tuple[bytes, bytes]:
        """Return what the signed part has before and behind entries of `size` bytes together.

        Without entries their field is absent (RFC 5280 section 5.1.2.6).
        """
        opening = self.head + (_header(der.SEQUENCE, size) if size else b"")
        return _header(der.SEQUENCE, len(opening) + size + len(self.tail)) + opening, self.tail

    def whole(self, size: int, signature: bytes) -> tuple[bytes, bytes]:
        """Return what the finished list has before and behind entries of `size` bytes together."""
        before, behind = self.to_be_signed(size)
        end = self.algorithm + _header(der.BIT_STRING, len(signature) + 1) + b"\0" + signature
        content = len(before) + size + len(behind) + len(end)
        return _header(der.SEQUENCE, content) + before, behind + end


def frame(issuer: Issuer, *, number: int, this_update: datetime, next_update: datetime) -> Frame:
    """Return the frame of the CRL `number` by `issuer`: version 2, with number and key identifier.

    Raises Error where the issuer's certificate does not allow it to sign CRLs, or the dates or the
    number are none that a CRL can have.
    """
    _check(issuer.certificate, number, this_update, next_update)
    empty = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(_whole_second(this_update))
        .next_update(_whole_second(next_update))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(issuer.key_identifier, critical=False)
        # not by the issuer's key: a signed list that says "nobody" must not exist, not even here
        .sign(_stand_in(issuer.key), certificate.signature_hash(issuer.key))
    )
    signed, algorithm, _ = der.split(_value(empty.public_bytes(serialization.Encoding.DER)))
    *head, tail = der.split(_value(signed))
    return Frame(b"".join(head), tail, algorithm)


def encoded(revoked: Iterable[Revoked], chunk: int = CHUNK) -> Iterator[tuple[int, bytes]]:
    """Yield the entries in the given order as (how many, their DER), `chunk` of them at a time."""
    rest = iter(revoked)
    while batch := list(itertools.islice(rest, chunk)):
        yield len(batch), _entries(batch)


def _check(
    issuer: x509.Certificate, number: int, this_update: datetime, next_update: datetime
) -> None:
    if not _may_sign(issuer):
        raise Error(
            f"{certificate.subject(issuer)!r} may not sign CRLs: its key usage has no cRLSign",
            hint="issue from an intermediate that has it, and let devices follow at their renewal",
        )
    if number < 0 or number.bit_length() > MOST_BITS:
        raise Error(f"{number} can't be the number of a CRL")
    if not this_update.year >= EARLIEST_YEAR or this_update >= next_update:
        raise Error(
            f"a CRL of {this_update:%Y-%m-%d %H:%M} can't have its next update on"
            f" {next_update:%Y-%m-%d %H:%M}",
            hint="give a time that lies ahead, and look at this computer's clock",
        )


def _may_sign(issuer: x509.Certificate) -> bool:
    """RFC 5280 section 4.2.1.3: where there is a key usage, it has to name cRLSign."""
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _entries(batch: list[Revoked]) -> bytes:
    """The DER of the entries: the value of `revokedCertificates` in a list of their own."""
    builder = _carrier()
    for one in batch:
        builder = builder.add_revoked_certificate(_entry(one))
    made = builder.sign(_curve_key(), hashes.SHA256())
    # version, signature, issuer, thisUpdate, nextUpdate, revokedCertificates
    return _value(der.split(_value(made.tbs_certlist_bytes))[5])


def _entry(one: Revoked) -> x509.RevokedCertificate:
    builder = _BUILDERS[one.reason].serial_number(one.serial)
    return builder.revocation_date(_whole_second(one.at)).build()


def _builder(flag: x509.ReasonFlags | None) -> x509.RevokedCertificateBuilder:
    bare = x509.RevokedCertificateBuilder()
    return bare.add_extension(x509.CRLReason(flag), critical=False) if flag else bare


# builders never change: these are begun once, and ended for each entry
_BUILDERS: dict[str | None, x509.RevokedCertificateBuilder] = {
    None: _builder(None),
    **{name: _builder(flag) for name, flag in REASONS.items()},
}


@functools.cache
def _carrier() -> x509.CertificateRevocationListBuilder:
    """A list that entries are encoded in; nothing else of it is ever used."""
    any_day = datetime(2000, 1, 1)  # noqa: DTZ001  what the builder keeps is naive too
    builder = x509.CertificateRevocationListBuilder().issuer_name(x509.Name([]))
    return builder.last_update(any_day).next_update(any_day)


def _stand_in(key: PrivateKey) -> PrivateKey:
    """A key that has the AlgorithmIdentifier of `key`, for what is never shown to anybody."""
    return _rsa_key() if isinstance(key, rsa.RSAPrivateKey) else _curve_key()


@functools.cache
def _curve_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _value(element: bytes) -> bytes:
    _, start, stop = der.element(element, 0, len(element))
    return element[start:stop]


def _header(tag: int, size: int) -> bytes:
    """Tag and length in the shortest form (X.690 section 10.1)."""
    if size < 0x80:
        return bytes((tag, size))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length


def _whole_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0) if moment.microsecond else moment
