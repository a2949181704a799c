"""A CA's key in a PKCS#11 token: made there, used there, never seen here.

A key is named by an address (RFC 7512) and comes as one of `cryptography`'s private keys, so that
whatever signs with a key from a file signs with one from a token. python-pkcs11 talks to the
token's module; it is an extra, firmshake[pkcs11].
"""

from __future__ import annotations

import os
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from firmshake.ca import pkcs11uri, tokenmaking, tokensession
from firmshake.ca.identity import PrivateKey, PublicKey
from firmshake.ca.pkcs11uri import Pkcs11Uri, is_uri
from firmshake.ca.tokenkey import Sign, TokenEcKey, TokenRsaKey
from firmshake.ca.tokenmaking import CURVES, SIZES
from firmshake.ca.tokensession import LOCK, Login, close, told, writing
from firmshake.errors import Error

__all__ = ["check_new", "close", "generate", "import_key", "is_uri", "open_key"]


def open_key(uri: str, pin: bytes) -> PrivateKey:
    """Return the key that `uri` names; it signs in the token, and has no other use.

    Raises Error where there is no such module, token or key, where the PIN is wrong, and where the
    key could be taken out of the token.
    """
    where = _parsed(uri)
    with LOCK:
        there = tokensession.login(where, pin)
        with told(there.label):
            private = _private(there, where)
            _check(private, there.label)
            public = _public(there, private)
            return _key(there, private, public)


def generate(uri: str, pin: bytes, key_type: str) -> PrivateKey:
    """Make a key in the token, with the label that `uri` gives it, and return it as `open_key`.

    `key_type` is ec-p256, ec-p384, rsa-2048, rsa-3072 or rsa-4096. Raises Error as `open_key`, and
    where the token has a key of that label already.
    """
    where = _named(uri)
    there = tokensession.login(where, pin)
    with writing(there) as session:
        tokenmaking.generate(session, where, key_type)
    return open_key(uri, pin)


def check_new(uri: str, pin: bytes) -> None:
    """Raise Error where `generate` would not begin: no such token, a wrong PIN, a label taken."""
    where = _named(uri)
    there = tokensession.login(where, pin)
    with LOCK, told(there.label):
        tokenmaking.check_free(there.session, where)


def import_key(uri: str, pin: bytes, key: PrivateKey) -> PrivateKey:
    """Put a copy of `key` into the token, from where it never comes back, and return that.

    Raises Error as `generate`. Whoever had the key before has it still: `generate` is safer.
    """
    where = _named(uri)
    there = tokensession.login(where, pin)
    with writing(there) as session:
        tokenmaking.put(session, where, key)
    return open_key(uri, pin)


def _parsed(uri: str) -> Pkcs11Uri:
    where = pkcs11uri.parse(uri)
    if where.texts.get("type", "private") != "private":
        raise Error("the PKCS#11 URI does not name a private key", "write type=private, or no type")
    return where


def _named(uri: str) -> Pkcs11Uri:
    where = _parsed(uri)
    if not where.label:
        raise Error("the PKCS#11 URI gives the key no name", "add object=NAME to it")
    return where


def _private(there: Login, where: Pkcs11Uri) -> Any:
    """The one private key that is meant. Raises Error where there is none, or several."""
    from pkcs11 import Attribute, ObjectClass

    kind = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    found: list[Any] = list(there.session.get_objects(kind | _wanted(where)))
    if len(found) == 1:
        return found[0]
    what = repr(where.label) if where.label else "that the PKCS#11 URI describes"
    if found:
        ids = " or ".join(str(Pkcs11Uri(id=one.id))[len(pkcs11uri.SCHEME) :] for one in found)
        raise Error(
            f"the token {there.label!r} has {len(found)} private keys {what}",
            f"say which: add {ids} to the PKCS#11 URI",
        )
    others: list[Any] = list(there.session.get_objects(kind))
    labels = sorted({repr(one.label) for one in others})
    raise Error(
        f"the token {there.label!r} has no private key {what}",
        f"its private keys: {', '.join(labels) or 'none'}",
    )


def _wanted(where: Pkcs11Uri) -> dict[Any, Any]:
    from pkcs11 import Attribute

    label = {Attribute.LABEL: where.label} if where.label else {}
    return label | ({Attribute.ID: where.id} if where.id is not None else {})


def _check(private: Any, label: str) -> None:
    """Refuse a key that is not for signing, or of which a copy may be somewhere already."""
    from pkcs11 import Attribute

    if _flag(private, Attribute.EXTRACTABLE) or not _flag(private, Attribute.SENSITIVE):
        raise Error(
            f"the key {private.label!r} may be taken out of the token {label!r}",
            "make a CA's key in the token, sensitive and not extractable",
        )
    if not _flag(private, Attribute.SIGN):
        raise Error(
            f"the key {private.label!r} of the token {label!r} is not for signing",
            "name another key, or make one for it",
        )


def _flag(found: Any, attribute: Any) -> bool:
    """An attribute of an object; False where this token's objects have none such."""
    from pkcs11 import exceptions

    try:
        return bool(found[attribute])
    except (exceptions.AttributeTypeInvalid, exceptions.AttributeValueInvalid):
        return False


def _public(there: Login, private: Any) -> PublicKey:
    """The public key, from the object that shares the private key's id (PKCS#11 2.40, 4.6.2)."""
    from pkcs11 import Attribute, KeyType, ObjectClass
    from pkcs11.util.ec import encode_ec_public_key
    from pkcs11.util.rsa import encode_rsa_public_key

    encode = {KeyType.EC: encode_ec_public_key, KeyType.RSA: encode_rsa_public_key}
    same = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: private.id}
    found: list[Any] = list(there.session.get_objects(same))
    if not found or private.key_type not in encode:
        raise Error(
            f"the key {private.label!r} of the token {there.label!r} is of no use here",
            "it must be an EC or RSA key, with its public key beside it under the same id",
        )
    try:
        public = serialization.load_der_public_key(encode[private.key_type](found[0]))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        public = None
    if isinstance(public, rsa.RSAPublicKey):
        return public
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in CURVES.values():
        return public
    raise Error(
        f"the key {private.label!r} of the token {there.label!r} has a type of no use here",
        f"take one of {', '.join((*CURVES, *SIZES))}",
    )


def _key(there: Login, private: Any, public: PublicKey) -> PrivateKey:
    from pkcs11 import Attribute, Mechanism

    always = _flag(private, Attribute.ALWAYS_AUTHENTICATE)
    if isinstance(public, rsa.RSAPublicKey):
        return TokenRsaKey(public, _signer(there, private, Mechanism.RSA_PKCS, always))
    return TokenEcKey(public, _signer(there, private, Mechanism.ECDSA, always))


def _signer(there: Login, private: Any, mechanism: Any, always: bool) -> Sign:
    """What makes the token sign. `always`: it wants the PIN for each signature anew."""

    def sign(data: bytes) -> bytes:
        if there.process != os.getpid():
            raise Error("a key in a token was opened by another process", "open it in this one")
        with LOCK, told(there.label):
            pin = there.pin if always else None
            return bytes(private.sign(data, mechanism=mechanism, pin=pin))

    return sign
