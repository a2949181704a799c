"""What doctor climbs with: identity files as a board would get them, from files of any form.

What cannot be read is handed to the agent as it is: naming it is the agent's work.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from firmshake import boardfiles
from firmshake.ca.authority import Authority
from firmshake.errors import Error
from firmshake.registry import Issued, Registry

DEVICE = "doctor"  # the client id where there is no certificate to take it from

# An identity made for one climb is held by nobody afterwards
_SHORT_LIFE = timedelta(minutes=10)
_BACKDATED = timedelta(hours=1)

# what no topic can hold (MQTT 3.1.1, 4.7.1), as a stranger's certificate may
_NO_TOPIC = frozenset("+#\0")

_LARGEST = 1 << 20
_PEM = b"-----BEGIN "


def identity_files(ca: bytes, cert: bytes | None, key: bytes | None) -> dict[str, bytes]:
    """The files of a board's identity by name, from PEM or DER in any of the usual forms."""
    files = {"ca.der": certificates_der(ca)}
    if cert is not None:
        files["cert.der"] = certificates_der(cert)
    if key is not None:
        files["key.der"] = key_der(key)
    return files


def issued(
    authority: Authority,
    registry: Registry,
    device_id: str,
    now: datetime,
    believed: datetime | None = None,
) -> dict[str, bytes]:
    """The files of an identity of `device_id` that is made for one climb, in memory only.

    It is in the registry's log, as everything that the CA signs, and is no device's there.

    It is valid now and at the time that the agent believes, as far as the CA itself is. Raises
    Error where the CA issues nothing now.
    """
    own = authority.certificate
    times = now, believed or now
    # in this order nothing leaves the range of years that there are
    starts = max(min(times), own.not_valid_before_utc + _BACKDATED) - _BACKDATED
    ends = min(max(times), own.not_valid_after_utc - _SHORT_LIFE) + _SHORT_LIFE
    made = authority.issue(device_id, now=now, valid=(starts, ends))
    registry.record(Issued("other", made.certificate))
    return boardfiles.identity_files(made)


def certificates_der(data: bytes) -> bytes:
    """PEM certificates as DER, one after the other; anything else as it is."""
    if _PEM not in data:
        return data
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError:
        return data
    return b"".join(one.public_bytes(serialization.Encoding.DER) for one in found)


def key_der(data: bytes) -> bytes:
    """A private key in clear as a board gets it (SEC1 or PKCS#1 DER); anything else as it is."""
    load = (
        serialization.load_pem_private_key if _PEM in data else serialization.load_der_private_key
    )
    try:
        key = load(data, password=None)
        return key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):  # damaged, encrypted, of another kind
        return data


def common_name(cert: bytes) -> str | None:
    """The common name of the first certificate, DER or PEM; None where no topic can hold it."""
    try:
        first = x509.load_pem_x509_certificates(cert)[0] if _PEM in cert else _first_der(cert)
        names = first.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except (ValueError, IndexError):
        return None
    found = str(names[0].value) if names else ""
    return found if found and not _NO_TOPIC & set(found) else None


def _first_der(data: bytes) -> x509.Certificate:
    from firmshake_agent import der

    try:
        return x509.load_der_x509_certificate(der.split(data)[0])
    except der.BadDer as error:
        raise ValueError(str(error)) from None


def read(path: Path, what: str) -> bytes:
    """A file's bytes. Raises Error where it cannot be read, or is no identity file by its size."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise Error(
            f"cannot read the {what} {path}: {(error.strerror or 'unreadable').lower()}",
            hint="check the path",
            status=2,
        ) from None
    if len(data) > _LARGEST:
        raise Error(f"{path} is too large to be a {what}", status=2)
    return data
