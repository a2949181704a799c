"""What a station and its workers say to each other: one JSON object a message. Does no I/O.

A worker talks to a board, which may be anybody's: what comes from a worker is never code, and is
looked at before it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from firmshake.ca.identity import PublicKey
from firmshake.ways.way import Seen

# the longest is a chain of certificates with RSA keys
LONGEST = 1 << 18

Fields = Mapping[str, Any]


class Nonsense(Exception):
    """What a worker said is no message."""


def encode(fields: Fields) -> bytes:
    """Return a message's bytes."""
    return json.dumps(fields, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Any]:
    """Return what a message says; raise Nonsense where it is none."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Nonsense(str(error)) from None
    if not isinstance(found, dict):
        raise Nonsense("not an object")
    return found


def text(fields: Fields, name: str) -> str:
    """Return a field that is a text."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise Nonsense(f"no text {name}")
    return value


def maybe_text(fields: Fields, name: str) -> str | None:
    """Return a field that is a text, or None."""
    return None if fields.get(name) is None else text(fields, name)


def whole(fields: Fields, name: str) -> int:
    """Return a field that is a whole number, not below 0."""
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise Nonsense(f"no number {name}")
    return value


def of_chain(chain: tuple[x509.Certificate, ...] | list[x509.Certificate]) -> list[str]:
    """Return certificates as they travel."""
    return [one.public_bytes(Encoding.DER).hex() for one in chain]


def chain(fields: Fields, name: str) -> list[x509.Certificate]:
    """Return a field that is a list of certificates."""
    value = fields.get(name)
    if not isinstance(value, list):
        raise Nonsense(f"no list {name}")
    try:
        return [x509.load_der_x509_certificate(bytes.fromhex(one)) for one in value]
    except (TypeError, ValueError) as error:
        raise Nonsense(str(error)) from None


def of_key(key: PublicKey) -> str:
    """Return a public key as it travels: SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()


def key(fields: Fields, name: str) -> PublicKey:
    """Return a field that is a public key."""
    try:
        found = load_der_public_key(bytes.fromhex(text(fields, name)))
    except ValueError as error:
        raise Nonsense(str(error)) from None
    if not isinstance(found, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise Nonsense("a key of another kind")
    return found


def of_seen(seen: Seen) -> Fields:
    """Return what was seen of a board, as it travels."""
    return vars(seen)


def seen(fields: Fields, name: str) -> Seen:
    """Return a field that says what was seen of a board."""
    said = fields.get(name)
    if not isinstance(said, dict):
        raise Nonsense(f"no object {name}")
    return Seen(
        text(said, "title")[:200],
        text(said, "chip")[:64],
        maybe_text(said, "unique_id"),
        maybe_text(said, "firmware"),
    )
