"""A certificate revocation list on the disk: written in bounded memory, and looked at again."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives.hashes import Hash

from firmshake import newfile
from firmshake.ca import crl, signature
from firmshake.ca.certificate import Issuer, signature_hash
from firmshake.ca.crl import Frame, Revoked
from firmshake.errors import Error

# for everybody to read: a CRL is made to be published
PUBLIC = 0o644
# RFC 7468 section 2: a line of PEM has 64 characters, which are 48 octets
_WIDTH, _LINE = 64, 48
_PIECE = 1 << 16
_PEM = b"-----BEGIN X509 CRL-----"
_PEM_END = b"-----END X509 CRL-----"
# extensions, algorithm and an RSA-4096 signature, as PEM
_TAIL = 4096
_NUMBER_OID = bytes.fromhex("0603551d14")
_END = b"-----END X509 CRL-----"


@dataclass(frozen=True)
class Summary:
    """What a CRL says of itself: `number` and `next_update` are None where it has none."""

    issuer: x509.Name
    number: int | None
    this_update: datetime
    next_update: datetime | None
    count: int


def write(
    path: Path,
    issuer: Issuer,
    revoked: Iterable[Revoked],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    pem: bool = True,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Put the issuer's CRL in the place of `path`, in one step; return how many entries it has.

    The entries stand in the order of `revoked`. `progress` is told how many are encoded so far.
    Raises Error as crl.frame, crl.Revoked and signature.sign do, and OSError; the old file is left
    then.
    """
    frame = crl.frame(issuer, number=number, this_update=this_update, next_update=next_update)
    # beside the list and not in the system's folder for such files, which may be in memory
    with tempfile.TemporaryFile(dir=path.parent) as entries:
        count, size = _spool(entries, revoked, progress)
        signed = signature.sign(issuer, _digest(issuer, frame, entries, size))
        parts = _around(frame.whole(size, signed), entries)
        with newfile.replacing(path, PUBLIC) as stream:
            stream.writelines(_armoured(parts) if pem else parts)
    return count


def read_summary(path: Path) -> Summary:
    """Return what the CRL in `path`, PEM or DER, says of itself; its signature is not looked at.

    Raises Error where it is no CRL, OSError where it can't be read.
    """
    content = path.read_bytes()
    read = x509.load_pem_x509_crl if _PEM in content else x509.load_der_x509_crl
    try:
        found = read(content)
        # len() counts what stands in the file, and makes no object of any entry
        return Summary(
            found.issuer,
            _number(found),
            found.last_update_utc,
            found.next_update_utc,
            len(found),
        )
    except ValueError:
        raise Error(f"{path} is no CRL", hint="write it again") from None


def read_number(path: Path) -> int | None:
    """Return the number of the CRL in `path`, None where it has none; in little memory.

    Only its end is looked at, where cRLNumber stands in front of the signature. Raises OSError.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read()
    if _PEM_END in tail:
        lines = tail.partition(_PEM_END)[0].split(b"\n")
        # whole lines only: the first may be cut, or be the one that begins it all
        body = b"".join(line for line in lines[1:] if not line.startswith(b"-"))
        try:
            tail = base64.b64decode(body)
        except ValueError:
            return None
    at = tail.rfind(_NUMBER_OID)
    found = tail[at + len(_NUMBER_OID) :] if at >= 0 else b""
    # OCTET STRING of an INTEGER, both of one length octet
    if len(found) < 4 or found[0] != 0x04 or found[2] != 0x02 or len(found) < 4 + found[3]:
        return None
    return int.from_bytes(found[4 : 4 + found[3]], "big")


def _number(found: x509.CertificateRevocationList) -> int | None:
    try:
        return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _spool(
    entries: BinaryIO, revoked: Iterable[Revoked], progress: Callable[[int], None] | None
) -> tuple[int, int]:
    """Write the entries out; return how many there are, and their bytes."""
    count = size = 0
    for more, data in crl.encoded(revoked):
        entries.write(data)
        count, size = count + more, size + len(data)
        if progress:
            progress(count)
    return count, size


def _digest(issuer: Issuer, frame: Frame, entries: BinaryIO, size: int) -> bytes:
    digest = Hash(signature_hash(issuer.key))
    for part in _around(frame.to_be_signed(size), entries):
        digest.update(part)
    return digest.finalize()


def _around(ends: tuple[bytes, bytes], entries: BinaryIO) -> Iterator[bytes]:
    before, behind = ends
    yield before
    entries.seek(0)
    while piece := entries.read(_PIECE):
        yield piece
    yield behind


def _armoured(parts: Iterable[bytes]) -> Iterator[bytes]:
    """PEM (RFC 7468) of the parts: lines of 64 characters, the last one may be shorter."""
    yield _PEM + b"\n"
    held = b""
    for part in parts:
        held += part
        whole = len(held) - len(held) % _LINE
        yield from _lines(held[:whole])
        held = held[whole:]
    yield from _lines(held)
    yield _END + b"\n"


def _lines(data: bytes) -> Iterator[bytes]:
    text = base64.b64encode(data)
    for at in range(0, len(text), _WIDTH):
        yield text[at : at + _WIDTH] + b"\n"
