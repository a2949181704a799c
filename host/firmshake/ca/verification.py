"""Proof to a cloud that a CA's key is ours: a certificate for the code that it asked with.

Does no I/O.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from cryptography import x509

from firmshake.ca import certificate
from firmshake.ca.certificate import Issuer
from firmshake.ca.profiles import Profile
from firmshake.errors import Error

# of no use to anybody: no name of its own, no usage in TLS, and a day
PROFILE = Profile(
    name="verification",
    validity=timedelta(days=1),
    backdate=timedelta(hours=1),
    key="ec-p256",
    key_usage=("digitalSignature",),
    extended_key_usage=(),
    path_length=None,
)

# AWS gives 64 hexadecimal digits, Azure 48; RFC 5280 appendix A allows a common name of 64
_CODE = re.compile(r"[A-Za-z0-9-]{8,64}")


def check_code(code: str) -> str:
    """Return `code` as it is; raise Error, of usage, where no cloud gives such a code."""
    if not _CODE.fullmatch(code):
        raise Error(
            "that is no verification code",
            hint="give the one that the cloud shows: 8 to 64 letters, digits and hyphens",
            status=2,
        )
    return code


def verification_certificate(issuer: Issuer, code: str, now: datetime) -> x509.Certificate:
    """Return a certificate with the common name `code`, signed by `issuer`, good for a day.

    Its own key is made for it and forgotten: the issuer's signature is what proves. Raises Error
    where `code` is none, or `now` is outside the issuer's validity.
    """
    check_code(code)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, code)])
    valid = certificate.window(PROFILE, now, issuer.certificate)
    public = certificate.new_key(PROFILE).public_key()
    return certificate.signed(PROFILE, name, [], public, valid, issuer)
