"""A certificate of a stranger's as a value for people and JSON. Does no I/O."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmshake.ca.profiles import EXTENDED_KEY_USAGES, KEY_USAGES

# What reading a damaged or odd certificate may raise
ODD = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_PURPOSES = {oid: name for name, oid in EXTENDED_KEY_USAGES.items()}


@dataclass(frozen=True)
class CertificateView:
    """What there is to know of one certificate.

    `days_left` is negative once it has expired; `key` is as "EC secp256r1" or "RSA 2048", `curve`
    and `rsa_bits` its parts; `hash` is the signature's ("sha256", "" where it has none).
    """

    subject: str
    issuer: str
    sha256: str
    not_before: datetime
    not_after: datetime
    days_left: int
    names: tuple[str, ...]
    key: str
    curve: str
    rsa_bits: int
    signature: str
    hash: str
    is_ca: bool
    usages: tuple[str, ...]
    size: int


def of(certificate: x509.Certificate, now: datetime) -> CertificateView:
    """The certificate as a value; what cannot be read of it is said to be so."""
    kind, curve, bits = _key(certificate)
    signature, digest = _signature(certificate)
    return CertificateView(
        subject=name(certificate, "subject"),
        issuer=name(certificate, "issuer"),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        days_left=(certificate.not_valid_after_utc - now).days,
        names=names(certificate),
        key=kind,
        curve=curve,
        rsa_bits=bits,
        signature=signature,
        hash=digest,
        is_ca=is_ca(certificate),
        usages=usages(certificate),
        size=len(der(certificate)),
    )


def load(data: bytes) -> x509.Certificate | None:
    """The certificate in DER; None where it is none, or its dates or names cannot be read."""
    try:
        with quiet():
            certificate = x509.load_der_x509_certificate(data)
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            _ = certificate.subject, certificate.issuer
    except ODD:
        return None
    return certificate


def quiet() -> warnings.catch_warnings:
    """A context in which cryptography does not warn of what a stranger's certificate is like."""
    return warnings.catch_warnings(action="ignore")


def der(certificate: x509.Certificate) -> bytes:
    """The certificate's DER."""
    return certificate.public_bytes(Encoding.DER)


def name(certificate: x509.Certificate, which: str = "subject") -> str:
    """The common name of subject or issuer; all of it where there is none."""
    whole: x509.Name = getattr(certificate, which)
    found = whole.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else whole.rfc4514_string() or "(no name)"


def names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and addresses among the subject alternative names."""
    found = extension(certificate, x509.SubjectAlternativeName)
    if found is None:
        return ()
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*found.get_values_for_type(x509.DNSName), *map(str, addresses))


def extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """The extension of this type; None where it is missing or cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, *ODD):
        return None


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it may sign certificates: basic constraints, and key usage where it has one."""
    constraints = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    return bool(constraints and constraints.ca) and (usage is None or usage.key_cert_sign)


def usages(certificate: x509.Certificate) -> tuple[str, ...]:
    """Key usages and extended key usages by their names in RFC 5280, or numbers."""
    found: list[str] = []
    usage = extension(certificate, x509.KeyUsage)
    if usage is not None:
        found += [name for name, ours in KEY_USAGES.items() if getattr(usage, ours, False)]
    extended = extension(certificate, x509.ExtendedKeyUsage)
    if extended is not None:
        found += [_PURPOSES.get(one.dotted_string, one.dotted_string) for one in extended]
    return tuple(found)


def days(span: timedelta) -> str:
    """The whole days of a time span in words."""
    return "1 day" if span.days == 1 else f"{span.days} days"


def ends_soon(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether it is time to renew it: less than 30 days left, or than a quarter of a shorter life.

    Never where it lives for less than a day: such are made for one occasion.
    """
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    left = certificate.not_valid_after_utc - now
    return life > timedelta(days=1) and left < min(timedelta(days=30), life / 4)


def serves(certificate: x509.Certificate, client: bool = False) -> bool:
    """Whether a server may show it; a client, where `client` is true."""
    extended = extension(certificate, x509.ExtendedKeyUsage)
    wanted = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    anything = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
    return extended is None or wanted in extended or anything in extended


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the name and the key of `issuer` are those that `certificate` was signed with."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *ODD):
        return _weakly_signed_by(certificate, issuer)
    return True


def _weakly_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """The same for SHA-1 and MD5, which the library refuses to check: weak is not wrong."""
    try:
        digest, key = certificate.signature_hash_algorithm, issuer.public_key()
        weak = isinstance(digest, hashes.SHA1 | hashes.MD5)
        if not weak or digest is None or certificate.issuer != issuer.subject:
            return False
        signature, signed = certificate.signature, certificate.tbs_certificate_bytes
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        else:
            return False
    except (InvalidSignature, *ODD):
        return False
    return True


def names_issuer(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `certificate` names `issuer` as the one that issued it."""
    return certificate.issuer == issuer.subject


def _key(certificate: x509.Certificate) -> tuple[str, str, int]:
    try:
        return of_key(certificate.public_key())
    except ODD:
        return "of an unknown kind", "", 0


def of_key(key: object) -> tuple[str, str, int]:
    """A public key of any kind: (for people, curve or "", bits of RSA or 0)."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}", key.curve.name, 0
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}", "", key.key_size
    found = re.sub(r"PublicKey$", "", type(key).__name__)
    return found, "", 0


def _signature(certificate: x509.Certificate) -> tuple[str, str]:
    """(for people, hash or "")."""
    oid = certificate.signature_algorithm_oid
    try:
        digest = certificate.signature_hash_algorithm
    except ODD:
        return oid.dotted_string, ""
    text = "RSASSA-PSS" if oid == x509.SignatureAlgorithmOID.RSASSA_PSS else oid._name
    return text, digest.name if digest else ""
