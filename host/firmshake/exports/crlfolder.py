"""Revocation lists under the names that OpenSSL's and Erlang's CRL folders look them up by.

A list is in a file named by a hash of its issuer, as `openssl rehash` names it. Does no I/O.
"""

from __future__ import annotations

import hashlib
import re

from cryptography import x509

_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----[^-]*-----END X509 CRL-----\s*", re.DOTALL)
_UTF8_STRING = 0x0C


def named(crls: bytes) -> dict[str, bytes]:
    """Return each of the lists in `crls` (PEM) by its file name, such as "4f3a9b01.r0".

    Raises ValueError where one can't be read.
    """
    found: dict[str, bytes] = {}
    for block in _BLOCK.findall(crls):
        stem = name_hash(x509.load_pem_x509_crl(block).issuer)
        # two CAs of one hash are told apart by the number (openssl-rehash(1))
        number = sum(name.startswith(stem) for name in found)
        found[f"{stem}.r{number}"] = block
    return found


def name_hash(name: x509.Name) -> str:
    """Return the hash of a name as `openssl x509 -subject_hash` prints it.

    That is the first four octets, as a little-endian number, of the SHA-1 of the name's relative
    names in canonical form, without the SEQUENCE around them (OpenSSL, X509_NAME_hash_ex).
    """
    inside = b"".join(_canonical(relative) for relative in name.rdns)
    digest = hashlib.sha1(inside, usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _canonical(relative: x509.RelativeDistinguishedName) -> bytes:
    parts = sorted(_attribute(attribute) for attribute in relative)
    return _tagged(0x31, b"".join(parts))


def _attribute(attribute: x509.NameAttribute[str | bytes]) -> bytes:
    """An attribute with its text in lower case, in UTF-8, and without spaces that say nothing."""
    plain = x509.Name([attribute]).public_bytes()
    value = attribute.value
    assert isinstance(value, str)
    # ASCII alone is changed
    text = re.sub(r"[ \t\n\v\f\r]+", " ", value.strip(" \t\n\v\f\r"))
    lower = re.sub(r"[A-Z]", lambda letter: letter[0].lower(), text)
    return _tagged(0x30, _oid(plain) + _tagged(_UTF8_STRING, lower.encode("utf-8")))


def _oid(name: bytes) -> bytes:
    """The object identifier in a name of one attribute: SEQUENCE, SET, SEQUENCE, OID."""
    rest = name
    for _ in range(3):
        rest = rest[_header(rest) :]
    return rest[: _header(rest) + rest[1]]


def _header(element: bytes) -> int:
    """How long the tag and the length of a DER element are."""
    return 2 if element[1] < 0x80 else 2 + (element[1] & 0x7F)


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content
