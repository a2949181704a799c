"""The reader of certificates and keys, beside the one of a full library."""

from __future__ import annotations

import warnings
from contextlib import suppress
from datetime import datetime

from cryptography import x509 as library

from firmshake_agent import chain, tls, x509
from firmshake_agent.der import BadDer

WORK = 20
HARD = ((b"\x30\x82\x1f\xfc\x30\x82\x1f\xf8", b"\x05\x00"), (b"", b"\x30\x82\x1f\x00"))


def one(data: bytes) -> None:
    """Read the bytes as a certificate and as a private key."""
    try:
        read = x509.Certificate(data)
    except BadDer:
        assert tls.read(data) is None
    else:
        _check(read)
        assert chain.validity(data) == (read.not_before, read.not_after)
        _compare(read, data)
    with suppress(BadDer):
        chain.validity(data)
    try:
        public = x509.public_part(data)
    except (BadDer, x509.EncryptedKey):
        return
    assert public is None or public in data


def _check(read: x509.Certificate) -> None:
    assert len(read.names) <= x509.MAX_NAMES
    assert len(read.names) <= read.name_count
    for text in (read.subject, read.issuer, *read.names):
        assert text.isascii(), "not for a serial line"
        assert text.isprintable() or not text
        assert len(text) <= 64, "a name without end"
    for when in (read.not_before, read.not_after):
        assert x509.date(when).endswith("Z")


def _compare(read: x509.Certificate, data: bytes) -> None:
    """What both can read is the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library tells what it will refuse one day
        try:
            other = library.load_der_x509_certificate(data)
            dates = other.not_valid_before_utc, other.not_valid_after_utc
        except (ValueError, library.InvalidVersion):
            return
    assert (_moment(dates[0]), _moment(dates[1])) == (read.not_before, read.not_after)


def _moment(when: datetime) -> int:
    return int(when.timestamp())
