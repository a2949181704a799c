"""What is wrong with one certificate or one key, looked at alone. Does no I/O.

The words are those of the agent's causes.txt and of `doctor`, where they have one. What boards
cannot take is measured by stock mbedTLS: `serverview.firmwares` and `serverview.weakness`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import CertificatePoliciesOID, ExtensionOID

from firmshake.ca.finding import NOTE, WARNING, WRONG, Finding, taken_over, worst_first
from firmshake.serverview import certview, weakness
from firmshake.serverview.firmwares import LEAST_RSA_BITS

DEVICE, BROKER, CA = ROLES = ("device", "broker", "ca")

# Critical extensions that mbedTLS 3.6 reads (x509_get_crt_ext in library/x509_crt.c); any other
# makes it refuse the certificate already when it is loaded (RFC 5280 section 4.2)
_KNOWN_CRITICAL = (
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    x509.ObjectIdentifier("2.16.840.1.113730.1.1"),  # Netscape's certificate type
)

# RFC 5280 section 4.1.2.2: positive, 20 octets at most. 64 random bits are what the CA/Browser
# Forum's Baseline Requirements ask for (section 7.1)
_MOST_SERIAL_BITS = 159
_LEAST_SERIAL_BITS = 64

# what to do, by cause and role; "" serves the others
_FIXES = {
    ("expired", DEVICE): "Provision the board again for a new certificate.",
    ("expired", BROKER): "Renew it (firmshake ca broker) and reload the broker.",
    ("expired", CA): "Renew the CA's certificate; what it issued is refused until then.",
    ("expired", ""): "Have it renewed by the CA that issued it.",
    ("expires_soon", DEVICE): "Provision the board again before that day.",
    ("expires_soon", BROKER): "Renew it (firmshake ca broker) and reload the broker.",
    ("expires_soon", CA): "Renew the CA's certificate before that day.",
    ("expires_soon", ""): "Have it renewed by the CA that issued it.",
    ("wrong_usage", DEVICE): "Issue it from the device profile.",
    ("wrong_usage", BROKER): "Issue it from the broker profile (firmshake ca broker).",
    ("wrong_usage", CA): "Issue the CA's certificate with CA:TRUE and keyCertSign.",
}
_AGAIN = "Issue it again; firmshake's own certificates are in order there."
_STRONGER = "Make an EC P-256 key, as firmshake does, and issue its certificate again."


def role_of(certificate: x509.Certificate) -> str:
    """What it was made for, as far as it says: one of ROLES, or ""."""
    if _says_ca(certificate):
        return CA
    serves = certview.serves(certificate)
    connects = certview.serves(certificate, client=True)
    if serves == connects:
        return ""
    return BROKER if serves else DEVICE


def check_certificate(
    certificate: x509.Certificate, role: str, now: datetime
) -> tuple[Finding, ...]:
    """What is wrong with `certificate` in `role` (one of ROLES, "" where that is not known).

    Its issuer is not looked at: that is `check_chain`. Worst first.
    """
    with certview.quiet():
        found = [
            *check_dates(certificate, role, now),
            *_strength(certificate, now),
            *_usage(certificate, role),
            *_form(certificate),
            *_critical(certificate),
        ]
        if role == BROKER:
            found += _broker_names(certificate)
        if role != CA and certview.signed_by(certificate, certificate):
            what = f"{certview.name(certificate)!r} signed itself: no CA stands behind it."
            found.append(Finding(WRONG, "self_signed", what, "Issue it from your CA."))
    return worst_first(found)


def check_dates(certificate: x509.Certificate, role: str, now: datetime) -> Iterator[Finding]:
    """Whether it is within its dates, and for how long."""
    subject = certview.name(certificate)
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if ends < starts:
        what = f"{subject!r} ends ({ends:%Y-%m-%d}) before it begins ({starts:%Y-%m-%d})."
        yield Finding(WRONG, "bad_dates", what, _AGAIN)
    elif now > ends:
        what = f"{subject!r} expired on {ends:%Y-%m-%d}, {certview.days(now - ends)} ago."
        yield Finding(WRONG, "expired", what, _fix("expired", role))
    elif now < starts:
        what = f"{subject!r} is valid only from {starts:%Y-%m-%d %H:%M} UTC."
        fix = "Check the clock of the computer that issued it, and this one's, or wait."
        yield Finding(WRONG, "not_yet_valid", what, fix)
    elif certview.ends_soon(certificate, now):
        what = f"{subject!r} expires in {certview.days(ends - now)}, on {ends:%Y-%m-%d}."
        yield Finding(WARNING, "expires_soon", what, _fix("expires_soon", role))


def check_key(key: object) -> tuple[Finding, ...]:
    """What is too weak or unusual about a public key of any kind; () where nothing is."""
    kind, curve, bits = certview.of_key(key)
    if bits and bits < LEAST_RSA_BITS:
        what = f"An RSA key of {bits} bits is too short; boards and brokers want 2048."
        return (Finding(WRONG, "weak_key", what, _STRONGER),)
    unable = weakness.unable_boards(curve) if not bits else []
    if unable:
        what = f"{' and '.join(unable)} cannot use a key {kind}."
        return (Finding(WARNING, "unsupported_key", what, _STRONGER),)
    return ()


def _fix(cause: str, role: str) -> str:
    return _FIXES.get((cause, role)) or _FIXES[cause, ""]


def _strength(certificate: x509.Certificate, now: datetime) -> list[Finding]:
    view = certview.of(certificate, now)
    # nobody checks the signature of a root: it is trusted for being there
    root = certview.signed_by(certificate, certificate)
    return taken_over(weakness.of_anchor(view) if root else weakness.of_chain([view]))


def _usage(certificate: x509.Certificate, role: str) -> Iterator[Finding]:
    subject = certview.name(certificate)
    if role == CA:
        yield from _ca_usage(certificate)
    elif _says_ca(certificate) and role:
        what = f"{subject!r} is a CA's certificate, not a {role}'s."
        yield Finding(WRONG, "wrong_usage", what, _FIXES["wrong_usage", role])
    elif role == DEVICE:
        yield from _end_usage(certificate, role, "clients (no clientAuth)", client=True)
    elif role == BROKER:
        yield from _end_usage(certificate, role, "servers (no serverAuth)", client=False)


def _end_usage(
    certificate: x509.Certificate, role: str, purpose: str, *, client: bool
) -> Iterator[Finding]:
    subject, fix = certview.name(certificate), _FIXES["wrong_usage", role]
    if not certview.serves(certificate, client=client):
        yield Finding(WRONG, "wrong_usage", f"{subject!r} is not made for {purpose}.", fix)
    elif certview.extension(certificate, x509.ExtendedKeyUsage) is None:
        what = f"{subject!r} does not say what it is for: it passes for a client and a server."
        yield Finding(WARNING, "any_usage", what, fix)
    elif certview.serves(certificate, client=not client):
        other = "a broker" if client else "a device"
        what = f"{subject!r} is good for {other} too: whoever steals it can play one."
        yield Finding(WARNING, "any_usage", what, fix)
    usage = certview.extension(certificate, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        what = f"The key of {subject!r} may not sign handshakes (no digitalSignature)."
        yield Finding(WRONG, "wrong_usage", what, fix)


def _ca_usage(certificate: x509.Certificate) -> Iterator[Finding]:
    subject, fix = certview.name(certificate), _FIXES["wrong_usage", CA]
    usage = certview.extension(certificate, x509.KeyUsage)
    if not _says_ca(certificate):
        yield Finding(WRONG, "not_a_ca", f"{subject!r} is not a CA's certificate.", fix)
    elif usage is not None and not usage.key_cert_sign:
        what = f"{subject!r} may not sign certificates (no keyCertSign)."
        yield Finding(WRONG, "not_a_ca", what, fix)
    elif usage is not None and not usage.crl_sign:
        what = f"{subject!r} may not sign CRLs (no cRLSign): it cannot revoke anything."
        yield Finding(WARNING, "no_crl_sign", what, fix)
    if _says_ca(certificate) and usage is None:
        what = f"{subject!r} does not say what its key is for (no key usage)."
        yield Finding(WARNING, "any_usage", what, fix)


def _form(certificate: x509.Certificate) -> Iterator[Finding]:
    subject, number = certview.name(certificate), certificate.serial_number
    if certificate.version is not x509.Version.v3:
        what = f"{subject!r} is of version 1: it cannot say what it is for."
        yield Finding(WRONG, "version_1", what, _AGAIN)
    if number <= 0 or number.bit_length() > _MOST_SERIAL_BITS:
        what = f"The serial number of {subject!r} is not a positive number of up to 20 bytes."
        yield Finding(WARNING, "bad_serial", what, _AGAIN)
    elif number.bit_length() < _LEAST_SERIAL_BITS // 2:
        # a random one of 64 bits comes out that short once in four billion times
        what = f"The serial number of {subject!r} is {number}: counted or chosen, not random."
        yield Finding(NOTE, "short_serial", what, f"Let the CA draw {_LEAST_SERIAL_BITS} bits.")
    try:
        _ = [one.oid for one in certificate.extensions]
    except certview.ODD as error:
        what = f"The extensions of {subject!r} cannot be read: {_first_line(error)}."
        yield Finding(WRONG, "malformed", what, _AGAIN)


def _critical(certificate: x509.Certificate) -> Iterator[Finding]:
    """Critical extensions that make stock firmware refuse it."""
    try:
        critical = [one.oid for one in certificate.extensions if one.critical]
    except certview.ODD:
        return
    for oid in critical:
        if oid in _KNOWN_CRITICAL or _is_any_policy(certificate, oid):
            continue
        named = f"{_words(oid._name)} ({oid.dotted_string})"
        what = f"{certview.name(certificate)!r} has the critical extension {named}."
        fix = "Boards (mbedTLS) refuse what they cannot read: issue it without, or not critical."
        yield Finding(WRONG, "unsupported_extension", what, fix)


def _is_any_policy(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bool:
    """The one critical policy that mbedTLS takes (x509_get_certificate_policies)."""
    if oid != ExtensionOID.CERTIFICATE_POLICIES:
        return False
    found = certview.extension(certificate, x509.CertificatePolicies)
    any_policy = CertificatePoliciesOID.ANY_POLICY
    return found is not None and all(one.policy_identifier == any_policy for one in found)


def _broker_names(certificate: x509.Certificate) -> Iterator[Finding]:
    """Where the names of a broker's certificate are not found by those who look for them."""
    subject = certview.name(certificate)
    found = certview.extension(certificate, x509.SubjectAlternativeName)
    texts = found.get_values_for_type(x509.DNSName) if found else []
    addresses = found.get_values_for_type(x509.IPAddress) if found else []
    fix = "Issue it again with that name (firmshake ca broker --name)."
    if not texts and not addresses:
        what = f"{subject!r} has no subject alternative name; clients look at nothing else."
        yield Finding(WRONG, "no_san", what, fix)
    for text in (*texts, subject):
        if _is_ipv4(text) and ipaddress.ip_address(text) not in addresses:
            what = f"The address {text} is not among the iPAddress names of {subject!r}."
            yield Finding(WRONG, "no_address", what, fix)
            break
    for address in addresses:
        if isinstance(address, ipaddress.IPv4Address) and str(address) not in texts:
            what = f"MicroPython 1.23 for ESP32 looks for {address} among dNSNames, and it is none."
            yield Finding(NOTE, "no_address", what, fix)


def _is_ipv4(text: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(text), ipaddress.IPv4Address)
    except ValueError:
        return False


def _says_ca(certificate: x509.Certificate) -> bool:
    constraints = certview.extension(certificate, x509.BasicConstraints)
    return bool(constraints and constraints.ca)


def _words(name: str) -> str:
    """The library's nameConstraints as "name constraints"."""
    return "".join(f" {char.lower()}" if char.isupper() else char for char in name)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
