"""The file of a run: a line of JSON for each device, with its certificate and its key."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import BinaryIO

from cryptography import x509

from firmshake.ca import certificate as certificates
from firmshake.ca import pkcs8
from firmshake.ca.authority import Authority
from firmshake.ca.identity import Identity
from firmshake.ca.pkcs8 import Sealer
from firmshake.errors import Error

# no line is longer, with the longest keys that profiles allow
_LONGEST = 16 * 1024
# what a disk that lost its power has of a file where bytes never reached it; no line has it
_MISSING = b"\0"


class Writer:
    """Makes the lines of a run; keys are encrypted with `passphrase`, or in clear if it is None."""

    def __init__(self, authority: Authority, passphrase: bytes | None) -> None:
        self._sealer = Sealer(passphrase) if passphrase is not None else None
        # the same in every line, and encoded once
        self._above = certificates.pem(authority.certificate)

    def line(self, device_id: str, identity: Identity) -> bytes:
        """Return the line of a device, with its end."""
        key = self._sealer.seal(identity.key) if self._sealer else identity.key_pem()
        chain = certificates.pem(identity.certificate) + self._above
        entry = {
            "device": device_id,
            "certificate": chain.decode("ascii"),
            "key": key.decode("ascii"),
        }
        return json.dumps(entry).encode("ascii") + b"\n"


@dataclass(frozen=True)
class Line:
    """What a line says."""

    device_id: str
    certificate: x509.Certificate
    key: bytes

    @property
    def encrypted(self) -> bool:
        return b"-----BEGIN ENCRYPTED" in self.key

    def opens(self, passphrase: bytes) -> bool:
        """Whether `passphrase` opens its key."""
        try:
            return pkcs8.decrypt(self.key, passphrase).public_key() == self.certificate.public_key()
        except Error:
            return False


def parse(line: bytes) -> Line:
    """Return what a line says; raise ValueError where it is none."""
    try:
        entry = json.loads(line)
        texts = [entry[name] for name in ("device", "certificate", "key")]
        device_id, certificate, key = (str(text) for text in texts)
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        return Line(device_id, leaf, key.encode())
    except (TypeError, KeyError, RecursionError):
        raise ValueError("not a line of a run") from None


def last_line(stream: BinaryIO, unsure: int) -> tuple[int, bytes]:
    """Return where the last whole line ends, and that line; (0, b"") where there is none.

    What a kill left of a line stands behind it. Of the last `unsure` lines no sync is known: a
    disk that lost its power may have later ones without those before, which don't count then.
    """
    size = stream.seek(0, os.SEEK_END)
    start = max(0, size - (unsure + 2) * _LONGEST)
    stream.seek(start)
    tail = stream.read().partition(_MISSING)[0]
    lines = tail.split(b"\n")
    if len(lines) == 1:
        return 0, b""
    return start + len(tail) - len(lines[-1]), lines[-2]
