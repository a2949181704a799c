"""A list of revoked certificates (CRL): can it be trusted, and who is on it. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from firmshake.errors import Error
from firmshake.serverview import certview
from firmshake.serverview.finding import ERROR, WARNING, Finding, worst_first

_PEM = b"-----BEGIN X509 CRL-----"


@dataclass(frozen=True)
class Revocation:
    """A CRL: `signed` is None where the CA that issued it is not at hand to tell.

    `revoked` names those of our certificates that are on it, with the date and reason.
    """

    issuer: str
    last_update: datetime
    next_update: datetime | None
    entries: int
    signed: bool | None
    revoked: Mapping[str, str]
    findings: tuple[Finding, ...]


def load(data: bytes, where: str) -> x509.CertificateRevocationList:
    """The CRL in PEM or DER. Raises Error where it is none."""
    try:
        read = x509.load_pem_x509_crl if _PEM in data else x509.load_der_x509_crl
        with certview.quiet():
            crl = read(data)
        _ = crl.issuer, crl.last_update_utc, len(crl)
    except certview.ODD:
        raise Error(
            f"{where} is no CRL",
            hint="give one in PEM or DER, as openssl ca -gencrl makes it",
            status=2,
        ) from None
    return crl


def assess(
    crl: x509.CertificateRevocationList,
    certificates: Mapping[str, x509.Certificate],
    issuers: Sequence[x509.Certificate],
    now: datetime,
) -> Revocation:
    """The CRL held against `certificates` (who: certificate); `issuers` may have signed it."""
    signers = [one for one in issuers if one.subject == crl.issuer]
    signed = any(_signed(crl, one) for one in signers) if signers else None
    revoked = dict(_revoked(crl, certificates))
    return Revocation(
        issuer=_name(crl),
        last_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        entries=len(crl),
        signed=signed,
        revoked=revoked,
        findings=worst_first([*_findings(crl, signed, now), *_of_revoked(revoked)]),
    )


def _findings(
    crl: x509.CertificateRevocationList, signed: bool | None, now: datetime
) -> Iterator[Finding]:
    if signed is None:
        text = f"The CRL is from {_name(crl)!r}, which is neither trusted nor in the chain."
        yield Finding("crl_foreign", WARNING, text, "Give the CRL of the CA that issued them.")
    elif not signed:
        text = f"The CRL's signature is not that of {_name(crl)!r}."
        yield Finding("crl_forged", ERROR, text, "Make the CRL again; brokers refuse this one.")
    ends = crl.next_update_utc
    if ends is not None and now > ends:
        text = f"The CRL was due for renewal on {ends:%Y-%m-%d}: brokers with it refuse everyone."
        yield Finding("crl_expired", ERROR, text, "Make the CRL again and reload the broker.")
    if now < crl.last_update_utc:
        text = f"The CRL is valid only from {crl.last_update_utc:%Y-%m-%d %H:%M} UTC."
        yield Finding("crl_not_yet_valid", ERROR, text, "Check the clock of who made it.")


def _of_revoked(revoked: Mapping[str, str]) -> Iterator[Finding]:
    for who, when in revoked.items():
        fix = "Give the broker a new one." if who == "broker" else "Provision the device again."
        yield Finding("revoked", ERROR, f"The {who}'s certificate was revoked {when}.", fix)


def _revoked(
    crl: x509.CertificateRevocationList, certificates: Mapping[str, x509.Certificate]
) -> Iterator[tuple[str, str]]:
    for who, certificate in certificates.items():
        if certificate.issuer != crl.issuer:
            continue
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        if entry is not None:
            yield who, f"on {entry.revocation_date_utc:%Y-%m-%d}{_reason(entry)}"


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        found = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except (x509.ExtensionNotFound, *certview.ODD):
        return ""
    return f" ({found})"


def _signed(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # else ODD
    except (InvalidSignature, *certview.ODD):
        return False


def _name(crl: x509.CertificateRevocationList) -> str:
    found = crl.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else crl.issuer.rfc4514_string() or "(no name)"
