"""Private keys that stay in a token, in the shape of `cryptography`'s: they sign, and nothing else.

Digests are made here and the token signs them, by the two mechanisms that every token has.
Does no I/O of its own: the function that signs is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from firmshake.errors import Error

if TYPE_CHECKING:
    from cryptography.utils import Buffer

Sign = Callable[[bytes], bytes]

# RFC 8017 section 9.2, note 1: the DER of DigestInfo up to the digest
_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


class _Kept:
    """What is common to both kinds: nothing of the key can be had."""

    def _refuse(self) -> NoReturn:
        raise Error(
            "a key in a token signs and does nothing else: it never leaves the token",
            hint="for a key that can be copied, keep it in an encrypted file",
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        self._refuse()

    def private_numbers(self) -> NoReturn:
        """Refuse. Raises Error."""
        self._refuse()

    def private_bytes(self, encoding: object, format: object, encryption: object) -> NoReturn:
        """Refuse. Raises Error."""
        self._refuse()


class TokenEcKey(_Kept, ec.EllipticCurvePrivateKey):
    """An EC key in a token; `sign` there turns a digest into r and s, one behind the other."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey, sign: Sign) -> None:
        self._public, self._sign = public_key, sign

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """The curve's size in bits."""
        return self._public.key_size

    def exchange(self, algorithm: object, peer_public_key: object) -> NoReturn:
        """Refuse. Raises Error."""
        self._refuse()

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Return the signature as DER (RFC 3279 section 2.2.3). Raises Error if the token fails."""
        if not isinstance(signature_algorithm, ec.ECDSA):
            self._refuse()
        raw = self._sign(_digest(data, signature_algorithm.algorithm)[1])
        half = (self.key_size + 7) // 8
        if len(raw) != 2 * half:
            raise Error(f"the token made a signature of {len(raw)} octets instead of {2 * half}")
        r, s = int.from_bytes(raw[:half]), int.from_bytes(raw[half:])
        return utils.encode_dss_signature(r, s)


class TokenRsaKey(_Kept, rsa.RSAPrivateKey):
    """An RSA key in a token; `sign` there pads a DigestInfo and signs it (RFC 8017 section 8.2)."""

    def __init__(self, public_key: rsa.RSAPublicKey, sign: Sign) -> None:
        self._public, self._sign = public_key, sign

    def public_key(self) -> rsa.RSAPublicKey:
        """Return the public key."""
        return self._public

    @property
    def key_size(self) -> int:
        """The modulus' size in bits."""
        return self._public.key_size

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> NoReturn:
        """Refuse. Raises Error."""
        self._refuse()

    def sign(
        self,
        data: bytes,
        padding: padding.AsymmetricPadding,
        algorithm: utils.Prehashed | hashes.HashAlgorithm | utils.NoDigestInfo,
    ) -> bytes:
        """Return an RSASSA-PKCS1-v1_5 signature, the only kind. Raises Error if the token fails."""
        name, digest = "", b""
        if isinstance(padding, _PKCS1V15) and not isinstance(algorithm, utils.NoDigestInfo):
            name, digest = _digest(data, algorithm)
        if name not in _DIGEST_INFO:
            self._refuse()
        return self._sign(_DIGEST_INFO[name] + digest)


_PKCS1V15 = padding.PKCS1v15


def _digest(data: Buffer, algorithm: utils.Prehashed | hashes.HashAlgorithm) -> tuple[str, bytes]:
    """The hash's name and the digest of `data`, or `data` itself where it is one already."""
    if isinstance(algorithm, utils.Prehashed):
        done = bytes(data)
        if len(done) != algorithm.digest_size:
            raise ValueError("the data is not as long as a digest of that algorithm")
        # nothing public tells which hash it was
        return algorithm._algorithm.name, done
    context = hashes.Hash(algorithm)
    context.update(data)
    return algorithm.name, context.finalize()
