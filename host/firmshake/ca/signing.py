"""A certificate for a key that somebody else keeps: recorded before anybody gets it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509

from firmshake.ca.authority import Authority
from firmshake.ca.identity import PublicKey
from firmshake.ca.request import Request
from firmshake.errors import Error
from firmshake.registry import CertificateRecord, Issued, Registry

COMPROMISED = "keyCompromise"  # RFC 5280 section 5.3.1


def sign_device(
    request: Request, device_id: str, authority: Authority, registry: Registry, *, now: datetime
) -> x509.Certificate:
    """Return the certificate of a device; raise Error where it is refused.

    Those that the device has stay good.
    """
    check_not_compromised(registry, request.key, registry.certificates(device_id=device_id))
    made = authority.certify(device_id, request.key, now=now)
    registry.record_issued(device_id, made)
    return made


def sign_broker(
    request: Request,
    names: Sequence[str],
    authority: Authority,
    registry: Registry,
    *,
    now: datetime,
) -> x509.Certificate:
    """Return the certificate of a broker that is reached by `names`; raise Error if refused."""
    check_not_compromised(registry, request.key, registry.certificates(kind="broker"))
    made = authority.certify_broker(names, request.key, now=now)
    registry.record(Issued("broker", made))
    return made


def check_not_compromised(
    registry: Registry, key: PublicKey, known: Iterable[CertificateRecord]
) -> None:
    """Raise Error where one of these certificates was of this key, and revoked as compromised."""
    for one in known:
        if one.reason == COMPROMISED and key_of(registry, one) == key:
            raise Error(
                f"this key was revoked as compromised, with the certificate {one.serial_number}",
                hint="make a new key; whoever has the old one would have the new certificate too",
            )


def key_of(registry: Registry, record: CertificateRecord) -> object:
    """Return the public key of a certificate that is in the registry."""
    body = registry.body(record.serial_number)
    assert body is not None  # its record was read a moment ago
    return body.public_key()
