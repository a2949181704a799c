"""Reads certificates, certificate requests (CSR) and lists of revoked ones (CRL). Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7 as library

from firmshake.ca.certchecks import CA, check_certificate, check_key, role_of
from firmshake.ca.checks import spki
from firmshake.ca.finding import NOTE, WARNING, WRONG, Finding
from firmshake.inspect.desk import Desk
from firmshake.inspect.keys import damaged, digest, reason
from firmshake.inspect.thing import Thing
from firmshake.serverview import certview
from firmshake.serverview.firmwares import HASHES
from firmshake.wording import plural

Facts = list[tuple[str, str]]

_ROLES = {"device": "for a device", "broker": "for a broker", "ca": "of a CA"}
_SHOWN = 8  # names of a certificate; some have thousands
_MOST_CERTIFICATES = 1000


def certificate(data: bytes, where: str, desk: Desk) -> Thing:
    """The certificate in DER."""
    found = certview.load(data)
    if found is None:
        try:
            with certview.quiet():
                x509.load_der_x509_certificate(data)
            why = "its names or dates are none"
        except certview.ODD as error:
            why = reason(error)
        return damaged("certificate", where, why)
    return of_certificate(found, where, desk.now)


def of_certificate(found: x509.Certificate, where: str, now: datetime, role: str = "") -> Thing:
    """A certificate that has been read, judged for `role`, or for what it says that it is for."""
    with certview.quiet():
        role = role or role_of(found)
        key = _key_of(found)
        title = f"certificate {_ROLES.get(role, '')}".rstrip() + f": {certview.name(found)}"
        return Thing(
            where,
            "certificate",
            title,
            tuple(_facts(found, key, now)),
            check_certificate(found, role, now),
            role=role,
            spki=key,
            certificate=found,
        )


def judged(one: Thing, role: str, now: datetime) -> Thing:
    """The thing with its certificates judged anew: the first for `role`, those behind it as CAs."""
    if one.certificate is not None:
        return replace(of_certificate(one.certificate, one.where, now, role), exposed=one.exposed)
    inside = list(one.inside)
    for place, part in enumerate(inside):
        if part.certificate is not None:
            inside[place] = judged(part, role, now)
            role = CA
    return replace(one, inside=tuple(inside))


def _facts(found: x509.Certificate, key: bytes, now: datetime) -> Iterator[tuple[str, str]]:
    view = certview.of(found, now)
    yield "subject", found.subject.rfc4514_string() or "(no name)"
    own = certview.signed_by(found, found)
    yield "issuer", "itself" if own else found.issuer.rfc4514_string() or "(no name)"
    yield "serial", f"{found.serial_number:x}"
    yield "valid", f"{view.not_before:%Y-%m-%d} to {view.not_after:%Y-%m-%d}, {left(found, now)}"
    names = alternative_names(found)
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield "names", ", ".join(names[:_SHOWN]) + more
    yield "key", view.key
    yield "signed", view.signature
    if view.usages:
        yield "usages", ", ".join(view.usages)
    limits = certview.extension(found, x509.BasicConstraints)
    if limits and limits.ca:
        yield "ca", _below(limits.path_length)
    yield "sha256", view.sha256
    yield "key_sha256", digest(key)


def _below(length: int | None) -> str:
    if length is None:
        return "yes, with any number of CAs below it"
    return f"yes, with {length or 'no'} CA{'' if length == 1 else 's'} below it"


def alternative_names(found: x509.Certificate) -> list[str]:
    """All subject alternative names as text: DNS names, addresses, URIs."""
    names = certview.extension(found, x509.SubjectAlternativeName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    return list(dict.fromkeys((*certview.names(found), *uris)))


def left(found: x509.Certificate, now: datetime) -> str:
    """How long it is still valid, in words."""
    if now > found.not_valid_after_utc:
        return "expired"
    if now < found.not_valid_before_utc:
        return "not valid yet"
    return f"{certview.days(found.not_valid_after_utc - now)} left"


def request(data: bytes, where: str) -> Thing:
    """The certificate request (PKCS#10, RFC 2986) in DER."""
    try:
        with certview.quiet():
            csr = x509.load_der_x509_csr(data)
            name, key, good = csr.subject, csr.public_key(), csr.is_signature_valid
    except certview.ODD as error:
        return damaged("csr", where, reason(error), "malformed")
    kind = certview.of_key(key)[0]
    facts: Facts = [("subject", name.rfc4514_string() or "(no name)"), ("key", kind)]
    if asked := _asked(csr):
        facts.append(("names", ", ".join(asked[:_SHOWN])))
    facts.append(("key_sha256", digest(spki(key))))
    found = [*check_key(key)]
    if not good:
        what = "The request is not signed with its own key: it was changed, or made wrongly."
        found.append(Finding(WRONG, "bad_signature", what, "Have it made again."))
    if not list(name):
        what = "The request names nobody: the CA has to be told whom it is for."
        found.append(Finding(NOTE, "no_name", what))
    title = f"certificate request for {_common_name(name)}"
    return Thing(where, "csr", title, tuple(facts), tuple(found), spki=spki(key))


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string() or "nobody"


def _asked(csr: x509.CertificateSigningRequest) -> list[str]:
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *certview.ODD):
        return []
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [*names.get_values_for_type(x509.DNSName), *addresses, *uris]


def crl(data: bytes, where: str, desk: Desk) -> Thing:
    """The CRL in DER. Its entries are counted, not walked through: there may be a million."""
    try:
        with certview.quiet():
            found = x509.load_der_x509_crl(data)
            issuer = found.issuer.rfc4514_string() or "(no name)"
            entries, updated, due = len(found), found.last_update_utc, found.next_update_utc
            _ = found.signature_hash_algorithm
    except certview.ODD as error:
        return damaged("crl", where, reason(error), "malformed")
    facts = [
        ("issuer", issuer),
        ("revoked", f"{entries:,}"),
        ("number", _crl_number(found)),
        ("valid", f"{updated:%Y-%m-%d %H:%M} to {f'{due:%Y-%m-%d %H:%M}' if due else '?'} UTC"),
        ("signed", found.signature_algorithm_oid._name),
    ]
    title = f"list of revoked certificates (CRL) from {_common_name(found.issuer)}"
    return Thing(where, "crl", title, tuple(facts), tuple(_of_crl(found, desk.now)), crl=found)


def _of_crl(found: x509.CertificateRevocationList, now: datetime) -> Iterator[Finding]:
    """What is wrong with the list itself; its signature is held against its CA in `relations`."""
    due = found.next_update_utc
    if due is None:
        what = "The CRL does not say when the next one is due (RFC 5280 section 5.1.2.5)."
        yield Finding(WARNING, "crl_no_due", what, "Make it again with a next update.")
    elif now > due:
        what = f"The CRL was due for renewal on {due:%Y-%m-%d}: brokers with it refuse everyone."
        yield Finding(WRONG, "crl_expired", what, "Make the CRL again and reload the broker.")
    if now < found.last_update_utc:
        what = f"The CRL is valid only from {found.last_update_utc:%Y-%m-%d %H:%M} UTC."
        yield Finding(WRONG, "crl_not_yet_valid", what, "Check the clock of who made it.")
    hashed = found.signature_hash_algorithm
    if hashed is not None and hashed.name not in HASHES:
        what = f"The CRL is signed with {hashed.name.upper()}, which can be forged."
        yield Finding(WRONG, "weak_signature", what, "Make it again with SHA-256.")
    if _crl_number(found) == "none":
        what = "The CRL has no number: an old one cannot be told from a new one."
        yield Finding(WARNING, "crl_no_number", what, "Make it again with a CRL number.")


def _crl_number(found: x509.CertificateRevocationList) -> str:
    try:
        return str(found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    except (x509.ExtensionNotFound, *certview.ODD):
        return "none"


def pkcs7(data: bytes, where: str, desk: Desk) -> Thing:
    """The certificates in PKCS#7 (RFC 2315), which Windows and some CAs give as .p7b."""
    try:
        with certview.quiet():
            found: Sequence[x509.Certificate] = library.load_der_pkcs7_certificates(data)
    except certview.ODD as error:
        return damaged("pkcs7", where, reason(error), "malformed")
    inside = [
        certificate(certview.der(one), f"{where}, certificate {number}", desk)
        for number, one in enumerate(found[:_MOST_CERTIFICATES], 1)
    ]
    what = "Boards and brokers do not read PKCS#7."
    fix = "Convert it: openssl pkcs7 -inform DER -print_certs -in FILE -out FILE.pem"
    note = Finding(NOTE, "pkcs7", what, fix)
    title = f"PKCS#7 with {len(found)} {plural(len(found), 'certificate')}"
    return Thing(where, "pkcs7", title, (), (note,), tuple(inside))


def _key_of(found: x509.Certificate) -> bytes:
    try:
        return spki(found.public_key())
    except certview.ODD:
        return b""
