"""New keys in a PKCS#11 token: sensitive, not extractable, under a label that is new there."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from firmshake.ca.identity import PrivateKey
from firmshake.ca.pkcs11uri import Pkcs11Uri
from firmshake.errors import Error

if TYPE_CHECKING:
    from pkcs11 import Session

# the types that profiles name, as `cryptography` calls a curve and as a modulus' bits
CURVES: Mapping[str, str] = {"ec-p256": "secp256r1", "ec-p384": "secp384r1"}
SIZES: Mapping[str, int] = {"rsa-2048": 2048, "rsa-3072": 3072, "rsa-4096": 4096}
_ID_LENGTH = 16  # random, so that two keys never share one


def generate(session: Session, where: Pkcs11Uri, key_type: str) -> None:
    """Make a key pair in the token. Raises Error where its label is taken, and PKCS11Error."""
    from pkcs11 import Attribute, KeyType, MechanismFlag
    from pkcs11.util.ec import encode_named_curve_parameters

    assert key_type in {*CURVES, *SIZES}
    check_free(session, where)
    public, private = _kept(where)
    common: dict[str, Any] = {
        "store": True,
        "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
        "public_template": public,
        "private_template": private,
    }
    if key_type in SIZES:
        session.generate_keypair(KeyType.RSA, SIZES[key_type], **common)
        return
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(CURVES[key_type])}
    session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(**common)


def put(session: Session, where: Pkcs11Uri, key: PrivateKey) -> None:
    """Copy a key pair into the token. Raises Error where its label is taken, and PKCS11Error."""
    from pkcs11 import MechanismFlag, PKCS11Error
    from pkcs11.util import ec as ecutil
    from pkcs11.util import rsa as rsautil

    check_free(session, where)
    clear = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public, private = _kept(where)
    if isinstance(key, rsa.RSAPrivateKey):
        pkcs1 = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        )
        private = rsautil.decode_rsa_private_key(clear, MechanismFlag.SIGN) | private
        public = rsautil.decode_rsa_public_key(pkcs1, MechanismFlag.VERIFY) | public
    else:
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        private = ecutil.decode_ec_private_key(clear) | private
        public = ecutil.decode_ec_public_key(spki) | public
    made = session.create_object(public)
    try:
        session.create_object(private)
    except PKCS11Error:
        with contextlib.suppress(PKCS11Error):
            made.destroy()
        raise


def check_free(session: Session, where: Pkcs11Uri) -> None:
    """Raise Error where the token has a key of that label or id, and PKCS11Error."""
    from pkcs11 import Attribute, ObjectClass

    sames: list[dict[Any, Any]] = [{Attribute.LABEL: where.label}]
    if where.id is not None:
        sames.append({Attribute.ID: where.id})
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        for same in sames:
            if list(session.get_objects({Attribute.CLASS: kind} | same)):
                raise Error(
                    f"the token {session.token.label!r} has such a key already: {where.label!r}",
                    "give the new key another name (object=) and no id, or use that one",
                )


def _kept(where: Pkcs11Uri) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """What a public key and a private key are given beside their numbers."""
    from pkcs11 import Attribute

    key_id = secrets.token_bytes(_ID_LENGTH) if where.id is None else where.id
    both = {Attribute.TOKEN: True, Attribute.LABEL: where.label, Attribute.ID: key_id}
    secret = {
        Attribute.PRIVATE: True,
        Attribute.SENSITIVE: True,
        Attribute.EXTRACTABLE: False,
        Attribute.SIGN: True,
    }
    return both | {Attribute.PRIVATE: False, Attribute.VERIFY: True}, both | secret
