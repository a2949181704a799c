"""The client's own key and certificate, before a server sees them. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from firmshake.serverview import certview
from firmshake.serverview.certview import CertificateView
from firmshake.serverview.finding import ERROR, WARNING, Finding, worst_first

_AGAIN = "Provision the device again."


@dataclass(frozen=True)
class Credentials:
    """The client's certificate, None where it cannot be read; `match` None where either cannot."""

    certificate: CertificateView | None
    match: bool | None
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether they can be shown to a server."""
        return bool(self.match)


def chain(files: Mapping[str, bytes]) -> list[x509.Certificate]:
    """The client's certificate and what follows it, as far as it can be read."""
    return certificates(files.get("cert.der", b""))


def certificates(data: bytes) -> list[x509.Certificate]:
    """The certificates in DER, one after the other, as far as they can be read."""
    from firmshake_agent import der

    try:
        parts = der.split(data)
    except der.BadDer:
        return []
    found = (certview.load(part) for part in parts)
    return [one for one in found if one is not None]


def assess(files: Mapping[str, bytes], now: datetime) -> Credentials:
    """The identity in `files` (cert.der, key.der), looked at."""
    own = chain(files)
    key = _public_key(files.get("key.der", b""))
    findings = list(_findings(own, key is not None, now))
    match = _public_bytes(own[0]) == key if own and key is not None else None
    if match is False:
        text = "The client's key is not the one that its certificate was made for."
        findings.insert(0, Finding("key_mismatch", ERROR, text, _AGAIN))
    return Credentials(certview.of(own[0], now) if own else None, match, worst_first(findings))


def _findings(own: Sequence[x509.Certificate], key: bool, now: datetime) -> Iterator[Finding]:
    if not own:
        yield Finding("bad_certificate", ERROR, "The client's certificate cannot be read.", _AGAIN)
    if not key:
        yield Finding("bad_key", ERROR, "The client's key cannot be read.", _AGAIN)
    for one in own[:1]:
        ends, subject = one.not_valid_after_utc, certview.name(one)
        if now > ends:
            text = f"The client's certificate {subject!r} expired on {ends:%Y-%m-%d}."
            yield Finding("expired", ERROR, text, _AGAIN)
        elif now < one.not_valid_before_utc:
            text = f"{subject!r} is valid only from {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC."
            yield Finding("not_yet_valid", ERROR, text, "Check the clock of who issued it.")
        elif certview.ends_soon(one, now):
            text = f"The client's certificate {subject!r} expires in {certview.days(ends - now)}."
            yield Finding("expires_soon", WARNING, text, _AGAIN)
        if not certview.serves(one, client=True):
            text = f"{subject!r} is not made for clients (no clientAuth)."
            yield Finding("wrong_usage", ERROR, text, "Issue a client's certificate.")


def _public_key(data: bytes) -> bytes | None:
    """The public half of a private key in DER; None where it cannot be read."""
    try:
        return _spki(load_der_private_key(data, password=None).public_key())
    except certview.ODD:
        return None


def _public_bytes(certificate: x509.Certificate) -> bytes | None:
    try:
        return _spki(certificate.public_key())
    except certview.ODD:
        return None


def _spki(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    found: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every public key has it
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return found
