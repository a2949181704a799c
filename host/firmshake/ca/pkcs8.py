"""A private key encrypted with a passphrase: PKCS#8 with scrypt and AES-256 (RFC 5958, RFC 7914).

`cryptography` writes such files with PBKDF2 at 2,048 rounds, which one graphics card tries by the
hundred thousand a second. So the few lines of DER around scrypt are written here; `cryptography`
does the arithmetic, and reads the outcome, as OpenSSL does. Does no I/O.
"""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import padding, serialization
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from firmshake.ca.identity import PrivateKey
from firmshake.errors import Error, WrongSecret

# OWASP's Password Storage Cheat Sheet names N=2^14, r=8, p=5 among its equal minimums; a larger N
# needs more than the 32 MiB that OpenSSL allows where it reads such a key. A guess costs 16 MiB and
# 0.11 s: nine a second on one core of an AMD EPYC of 2024.
_N, _R, _P = 2**14, 8, 5
_BLOCK = 16  # of AES
_SALT_LENGTH = 16  # NIST SP 800-132 section 5.1: 128 bits at least

# RFC 8018 appendix A.4, RFC 7914 section 7, NIST's registry (RFC 3565)
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")

_BEGIN = "-----BEGIN ENCRYPTED PRIVATE KEY-----"
_END = "-----END ENCRYPTED PRIVATE KEY-----"


class Sealer:
    """Encrypts many keys with one passphrase, which is stretched once, when this is made.

    So all of them have one salt. A salt keeps passphrases from being tried against many people's
    keys at a time, and from tables made beforehand; these keys have one passphrase between them,
    and who finds it for one has them all, under one salt or many. What CBC needs to be sound is
    that no two keys begin from one state: each has an initialisation vector of its own, at random
    (NIST SP 800-38A appendix C).
    """

    def __init__(self, passphrase: bytes) -> None:
        assert passphrase
        salt = os.urandom(_SALT_LENGTH)
        stretched = Scrypt(salt=salt, length=32, n=_N, r=_R, p=_P).derive(passphrase)
        self._cipher = algorithms.AES(stretched)
        # the vector stands last in the scheme
        self._scheme = _scheme(salt, bytes(_BLOCK)).removesuffix(bytes(_BLOCK))

    def seal(self, key: PrivateKey) -> bytes:
        """Return `key` as PEM that only the passphrase opens."""
        plain = key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        start = os.urandom(_BLOCK)
        pad = padding.PKCS7(8 * _BLOCK).padder()
        seal = Cipher(self._cipher, modes.CBC(start)).encryptor()
        sealed = seal.update(pad.update(plain) + pad.finalize()) + seal.finalize()
        return _pem(_sequence(self._scheme + start, _tagged(0x04, sealed)))


def encrypt(key: PrivateKey, passphrase: bytes) -> bytes:
    """Return `key` as PEM that only `passphrase` opens."""
    return Sealer(passphrase).seal(key)


def decrypt(pem: bytes, passphrase: bytes) -> PrivateKey:
    """Return the key in `pem`; raise Error, which can't name the file, where there is none."""
    if b"-----BEGIN" not in pem:
        raise Error("no PEM in the key file", hint="put back the file that firmshake init made")
    if _BEGIN.encode() not in pem:
        raise Error("the key is not encrypted", hint="put back the file that firmshake init made")
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # a wrong passphrase and a changed byte look the same: both give nonsense for a key
        raise WrongSecret(
            "wrong passphrase, or the key file is damaged",
            hint="type the passphrase that was chosen at firmshake init, or last at ca passphrase",
        ) from None
    if not isinstance(key, PrivateKey):
        raise Error(
            "the key is neither EC nor RSA", hint="put back the file that firmshake init made"
        )
    return key


def _scheme(salt: bytes, start: bytes) -> bytes:
    """PBES2 with scrypt and AES-256-CBC (RFC 8018 appendix A.4, RFC 7914 section 7)."""
    cost = _sequence(_tagged(0x04, salt), _integer(_N), _integer(_R), _integer(_P))
    derivation = _sequence(_SCRYPT, cost)
    cipher = _sequence(_AES_256_CBC, _tagged(0x04, start))
    return _sequence(_PBES2, _sequence(derivation, cipher))


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _tagged(tag: int, content: bytes) -> bytes:
    """DER (X.690 section 8.1.3): tag, length, content."""
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der).decode("ascii")
    lines = (text[at : at + 64] for at in range(0, len(text), 64))
    return "\n".join((_BEGIN, *lines, _END, "")).encode("ascii")
