"""Reads private and public keys: what they are, never what they hold. Does no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives import serialization

from firmshake.ca.checks import check_key, spki
from firmshake.ca.finding import NOTE, WRONG, Finding
from firmshake.inspect import locks
from firmshake.inspect.desk import Desk, open_lock
from firmshake.inspect.locks import LEGACY_WEAK, Lock
from firmshake.inspect.thing import Thing
from firmshake.serverview import certview
from firmshake_agent import der
from firmshake_agent.der import BadDer

# An RSA key of 8192 bits has 4.7 KB; checking the primes of a larger one takes long
LARGEST = 8192

NOT_ENCRYPTED = "none: whoever reads it has it"

_STRONGER = "Encrypt it anew: openssl pkcs8 -topk8 -scrypt -in OLD -out NEW"
_MEND = "Put back a copy of it; a key cannot be mended."


def private(data: bytes, where: str, packed: str) -> Thing:
    """The private key in the DER `data`, in clear; `packed` says "PEM" or "DER"."""
    if len(data) > LARGEST:
        return damaged("private_key", where, f"it is larger than {LARGEST} bytes")
    try:
        with certview.quiet():
            key: object = serialization.load_der_private_key(data, None)
    except certview.ODD as error:
        return damaged("private_key", where, reason(error))
    return _readable(key, where, f"{form_of(data)} in {packed}", NOT_ENCRYPTED)


def sealed(data: bytes, where: str, desk: Desk, packed: str) -> Thing:
    """The encrypted PKCS#8 key (EncryptedPrivateKeyInfo, RFC 5958 section 3) in DER."""
    try:
        found = locks.locks(data)
    except BadDer as error:
        return damaged("private_key", where, str(error))
    if len(data) > LARGEST:
        return damaged("private_key", where, f"it is larger than {LARGEST} bytes")

    def load(passphrase: bytes) -> object:
        return serialization.load_der_private_key(data, passphrase)

    return _opened(where, desk, found, load, f"encrypted PKCS#8 in {packed}")


def sealed_pem(block: bytes, where: str, desk: Desk, cipher: str) -> Thing:
    """The key in a PEM block that is encrypted as before PKCS#8 (headers of RFC 1421)."""
    found = [Lock(f"MD5, 1 round; {cipher or 'no cipher named'}", LEGACY_WEAK, 1)]

    def load(passphrase: bytes) -> object:
        return serialization.load_pem_private_key(block, passphrase)

    return _opened(where, desk, found, load, "encrypted as old PEM")


def public(data: bytes, where: str, packed: str) -> Thing:
    """The public key in the DER `data` (SubjectPublicKeyInfo, or PKCS#1 for RSA)."""
    try:
        with certview.quiet():
            key: object = serialization.load_der_public_key(data)
    except certview.ODD as error:
        return damaged("public_key", where, reason(error))
    kind = certview.of_key(key)[0]
    facts = (("key", kind), ("form", packed), ("key_sha256", digest(spki(key))))
    title = f"public key, {kind}"
    return Thing(where, "public_key", title, facts, check_key(key), spki=spki(key))


def damaged(kind: str, where: str, why: str, cause: str = "") -> Thing:
    """A thing that shows what it was to be and cannot be read."""
    name = {"private_key": "bad_key", "certificate": "bad_certificate"}.get(kind, "malformed")
    what = f"It begins as a {kind.replace('_', ' ')}, and cannot be read: {why}."
    fix = _MEND if kind == "private_key" else "Get the file again from where it was made."
    found = Finding(WRONG, cause or name, what, fix)
    return Thing(where, kind, f"{kind.replace('_', ' ')} that cannot be read", (), (found,))


def reason(error: BaseException) -> str:
    """The first line of what a library said, without a stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")[:160]


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal; "" of nothing."""
    return hashlib.sha256(data).hexdigest() if data else ""


def form_of(data: bytes) -> str:
    """How a private key in clear is laid out."""
    try:
        start, end = der.expect(data, 0, len(data), der.SEQUENCE)
        parts = der.children(data, start, end)
    except BadDer:
        return "an unknown form"
    tags = [tag for tag, _, _ in parts[:3]]
    if tags[1:3] == [der.SEQUENCE, der.OCTET_STRING]:
        return "PKCS#8"
    return "SEC1" if tags[1:2] == [der.OCTET_STRING] else "PKCS#1"


def _opened(
    where: str, desk: Desk, found: list[Lock], load: Callable[[bytes], object], form: str
) -> Thing:
    words = locks.words(found) or "in a form that is not known here"
    attempt = open_lock(desk, where, found, load, _STRONGER)
    if attempt.locked:
        facts = (("form", form), ("encryption", words))
        title = "private key, encrypted"
        return Thing(where, "private_key", title, facts, attempt.findings, locked=True, sealed=True)
    made = _readable(attempt.opened, where, form, words)
    return made.with_findings(*attempt.findings)


def _readable(key: object, where: str, form: str, encryption: str) -> Thing:
    public = spki(key)
    kind = certview.of_key(key.public_key() if hasattr(key, "public_key") else key)[0]
    facts = (
        ("key", kind),
        ("form", form),
        ("encryption", encryption),
        ("key_sha256", digest(public)),
    )
    found = [*check_key(key.public_key() if hasattr(key, "public_key") else key)]
    if not public:
        found.append(Finding(NOTE, "unknown_key", "It is of a kind that is not compared here."))
    clear = encryption == NOT_ENCRYPTED
    return Thing(
        where,
        "private_key",
        f"private key, {kind}" + ("" if clear else ", encrypted"),
        facts,
        tuple(found),
        private=clear,
        sealed=not clear,
        spki=public,
    )
