"""Reads PKCS#12 (RFC 7292): a key with its certificates under one passphrase. Does no I/O."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from firmshake.ca.finding import NOTE, WARNING, WRONG, Finding
from firmshake.inspect import keys, locks, papers
from firmshake.inspect.desk import Desk, open_lock
from firmshake.inspect.thing import Thing
from firmshake.serverview import certview
from firmshake.wording import plural
from firmshake_agent.der import BadDer

# what OpenSSL 3 makes by itself, at OWASP's number of rounds
_STRONGER = "Make it anew from its key and certificates: openssl pkcs12 -export -iter 600000"


def look(data: bytes, where: str, desk: Desk) -> Thing:
    """What the PKCS#12 file holds, as far as a passphrase opens it."""
    try:
        found, mac = locks.locks(data), locks.mac_lock(data)
    except BadDer as error:
        return keys.damaged("pkcs12", where, str(error), "malformed")
    words = locks.words(found) or keys.NOT_ENCRYPTED
    facts = (("encryption", words), ("integrity", mac.words if mac else "none"))
    costs = [*found, *([mac] if mac else [])]
    load = pkcs12.load_pkcs12
    opened: object = None
    findings: tuple[Finding, ...] = ()
    if not found and not locks.price(costs):
        opened = _without(data)
    if opened is None:
        attempt = open_lock(desk, where, costs, lambda secret: load(data, secret), _STRONGER)
        opened, findings = attempt.opened, attempt.findings
    if opened is None:
        return Thing(
            where, "pkcs12", "PKCS#12 file", facts, findings, locked=True, sealed=bool(found)
        )
    assert isinstance(opened, pkcs12.PKCS12KeyAndCertificates)
    inside = _inside(opened, where, desk, sealed=bool(found))
    return Thing(
        where,
        "pkcs12",
        f"PKCS#12 file with {_counted(inside)}",
        facts,
        (*findings, *_of_contents(opened, mac is not None)),
        inside,
        private=not found and opened.key is not None,
        sealed=bool(found),
    )


def _without(data: bytes) -> object:
    """What it holds where no passphrase is needed, in either way in which that is written."""
    for nothing in (None, b""):
        try:
            with certview.quiet():
                return pkcs12.load_pkcs12(data, nothing)
        except certview.ODD:
            continue
    return None


def _inside(
    opened: pkcs12.PKCS12KeyAndCertificates, where: str, desk: Desk, *, sealed: bool
) -> tuple[Thing, ...]:
    made: list[Thing] = []
    if opened.key is not None:
        plain = opened.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        one = keys.private(plain, f"{where}, key", "PKCS#12")
        facts = tuple(fact for fact in one.facts if fact[0] not in ("form", "encryption"))
        made.append(
            Thing(
                one.where,
                one.kind,
                one.title,
                facts,
                one.findings,
                sealed=sealed,
                private=not sealed,
                spki=one.spki,
            )
        )
    held = [one for one in (opened.cert, *opened.additional_certs) if one is not None]
    made += [
        papers.certificate(certview.der(one.certificate), f"{where}, certificate {number}", desk)
        for number, one in enumerate(held, 1)
    ]
    return tuple(made)


def _of_contents(opened: pkcs12.PKCS12KeyAndCertificates, checked: bool) -> list[Finding]:
    found = []
    if opened.key is None:
        what = "It holds no private key."
        found.append(Finding(NOTE, "no_key", what, "Export it again with its key, if it has one."))
    if opened.key is not None and opened.cert is None:
        what = "It holds a private key and not its certificate."
        found.append(Finding(WRONG, "key_mismatch", what, "Export it again with both."))
    if not checked:
        what = "Nothing in it shows whether it was changed (no integrity check)."
        found.append(Finding(WARNING, "no_integrity", what, "Export it again with a passphrase."))
    return found


def _counted(inside: tuple[Thing, ...]) -> str:
    certificates = sum(one.kind == "certificate" for one in inside)
    text = f"{certificates} {plural(certificates, 'certificate')}"
    return text if len(inside) == certificates else f"a private key and {text}"
