"""What a station and its workers say to each other: one JSON object a message. Does no I/O.

A worker talks to a board, which may be anybody's: what comes from a worker is never code, and is
looked at before it is believed. Whatever it is, only Nonsense is raised of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from firmshake.boards import uniqueid
from firmshake.ca import loading
from firmshake.ca.identity import PublicKey
from firmshake.ways.way import Seen

# the longest is a chain of certificates with RSA keys
LONGEST = 1 << 18
# of any text but these
LONGEST_TEXT = 1000
_LONGEST_CHIP = 64
# a title, a firmware's version, a verdict: what the registry has room for
_LONGEST_NAME = 200
# bytes of flash, at most: what a float holds exactly
_MOST = 1 << 53

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


def text(fields: Fields, name: str, longest: int = LONGEST_TEXT) -> str:
    """Return a field that is a text, in one line that can be shown."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise Nonsense(f"no text {name}")
    if len(value) > longest or not value.isprintable():
        raise Nonsense(f"an odd text {name}")
    return value


def maybe_text(fields: Fields, name: str, longest: int = LONGEST_TEXT) -> str | None:
    """Return a field that is a text as `text` takes it, or None."""
    return None if fields.get(name) is None else text(fields, name, longest)


def of_text(said: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text as it travels: in one line, without what can't be shown, and not too long."""
    shown = "".join(one if one.isprintable() else " " for one in said[: longest + 1])
    return shown if len(said) <= longest else shown[: longest - 1] + "…"


def verdict(fields: Fields, name: str) -> str | None:
    """Return a field that is a verdict, or None."""
    return maybe_text(fields, name, _LONGEST_NAME)


def of_verdict(said: str | None) -> str | None:
    """Return a verdict as it travels."""
    return None if said is None else of_text(said, _LONGEST_NAME)


def unique_id(fields: Fields, name: str) -> str | None:
    """Return a field that is a board's unique id, as it is spelled here, or None."""
    said = maybe_text(fields, name)
    found = None if said is None else uniqueid.spelled(said)
    if said is not None and found is None:
        raise Nonsense("a unique id that no board has")
    return found


def of_unique_id(said: str | None) -> str | None:
    """Return a unique id as it travels; None, too, where it is none that a board can have."""
    return None if said is None else uniqueid.spelled(said)


def whole(fields: Fields, name: str) -> int:
    """Return a field that is a whole number, not below 0 and not beyond all measure."""
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= _MOST:
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
        return [loading.der(bytes.fromhex(one)) for one in value]
    except (TypeError, ValueError) as error:
        raise Nonsense(str(error)) from None


def of_key(key: PublicKey) -> str:
    """Return a public key as it travels: SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo).hex()


def key(fields: Fields, name: str) -> PublicKey:
    """Return a field that is a public key."""
    try:
        found = load_der_public_key(bytes.fromhex(text(fields, name, LONGEST)))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Nonsense(str(error)) from None
    if not isinstance(found, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise Nonsense("a key of another kind")
    return found


def of_seen(seen: Seen) -> dict[str, str | None]:
    """Return what was seen of a board, as it travels."""
    return {
        "title": of_text(seen.title, _LONGEST_NAME),
        "chip": of_text(seen.chip, _LONGEST_CHIP),
        "unique_id": of_unique_id(seen.unique_id),
        "firmware": None if seen.firmware is None else of_text(seen.firmware, _LONGEST_NAME),
    }


def seen(fields: Fields, name: str) -> Seen:
    """Return a field that says what was seen of a board."""
    said = fields.get(name)
    if not isinstance(said, dict):
        raise Nonsense(f"no object {name}")
    return Seen(
        text(said, "title", _LONGEST_NAME),
        text(said, "chip", _LONGEST_CHIP),
        unique_id(said, "unique_id"),
        maybe_text(said, "firmware", _LONGEST_NAME),
    )
