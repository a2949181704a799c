"""Certificates that anybody may have made, read or refused. Does no I/O."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

_Found = TypeVar("_Found")


def der(data: bytes) -> x509.Certificate:
    """Return a certificate in DER. Raises ValueError where it is none, or breaks RFC 5280.

    What the library takes for now, and warns of, such as a serial number that is not above 0
    (section 4.1.2.2), is refused.
    """
    return _strictly(x509.load_der_x509_certificate, data)


def pem(data: bytes) -> list[x509.Certificate]:
    """Return the certificates in PEM, as `der`; ValueError where one is refused, or none there."""
    return _strictly(x509.load_pem_x509_certificates, data)


def _strictly(load: Callable[[bytes], _Found], data: bytes) -> _Found:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        try:
            return load(data)
        except (x509.InvalidVersion, CryptographyDeprecationWarning) as error:
            raise ValueError(str(error)) from None
