"""A certificate signed with SHA-1, which `cryptography` no longer makes. Does no I/O."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from firmshake.faults.pki import Key

_SEQUENCE, _BIT_STRING = b"\x30", b"\x03"

# AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758, 3.2) and of ecdsa-with-SHA1 (RFC 3279, 2.2.3)
_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_SHA1 = bytes.fromhex("300906072a8648ce3d0401")


def signed(certificate: x509.Certificate, issuer: Key) -> x509.Certificate:
    """The same certificate, signed again by its issuer's EC key with SHA-1."""
    assert isinstance(issuer, ec.EllipticCurvePrivateKey)
    whole = certificate.tbs_certificate_bytes
    inside = whole[_head(whole) :].replace(_SHA256, _SHA1, 1)
    body = _element(_SEQUENCE, inside)
    signature = issuer.sign(body, ec.ECDSA(hashes.SHA1()))  # noqa: S303  weak is what is wanted
    made = _element(_SEQUENCE, body + _SHA1 + _element(_BIT_STRING, b"\0" + signature))
    found = x509.load_der_x509_certificate(made)
    assert found.public_bytes(Encoding.DER) == made
    return found


def _head(data: bytes) -> int:
    """How many bytes tag and length take (X.690, 8.1.3)."""
    return 2 + (data[1] & 127 if data[1] & 128 else 0)


def _element(tag: bytes, body: bytes) -> bytes:
    size = len(body)
    if size < 128:
        return tag + bytes([size]) + body
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return tag + bytes([128 | len(digits)]) + digits + body
