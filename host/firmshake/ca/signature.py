"""A CA's signature of what was hashed piece by piece, since it is too long to be held in memory.

Does no I/O, unless the key is one that a token keeps.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from firmshake.ca import certificate
from firmshake.ca.certificate import Issuer
from firmshake.ca.identity import PublicKey
from firmshake.errors import Error


def sign(issuer: Issuer, digest: bytes) -> bytes:
    """Return the issuer's signature of what has this `digest`, made by certificate.signature_hash.

    Raises Error where the issuer's own certificate does not verify it: what keeps the key is out of
    order.
    """
    key, algorithm = issuer.key, Prehashed(certificate.signature_hash(issuer.key))
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(digest, padding.PKCS1v15(), algorithm)
    else:
        signature = key.sign(digest, ec.ECDSA(algorithm))
    public = issuer.certificate.public_key()
    assert isinstance(public, PublicKey)  # it is that of issuer.key
    try:
        _verify(public, signature, digest, algorithm)
    except InvalidSignature:
        name = certificate.subject(issuer.certificate)
        raise Error(
            f"the key of {name!r} made a signature that its certificate does not verify",
            hint="look at what keeps the key: the token, or this computer's memory",
        ) from None
    return signature


def _verify(public: PublicKey, signature: bytes, digest: bytes, algorithm: Prehashed) -> None:
    if isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, digest, padding.PKCS1v15(), algorithm)
    else:
        public.verify(signature, digest, ec.ECDSA(algorithm))
