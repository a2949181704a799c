"""Holds the things that were found against each other: keys, chains, revocations, names.

Does no I/O. What stands in one file belongs together, and so does what was named in one command; in
a folder, files do whose names say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath

from cryptography import x509

from firmshake.ca.certchecks import BROKER, CA, DEVICE
from firmshake.ca.checks import check_chain
from firmshake.ca.finding import NOTE, WARNING, WRONG, Finding, taken_over
from firmshake.inspect import board, papers
from firmshake.inspect.thing import Thing
from firmshake.serverview import certview, chain, revocation

# A bundle of more is a list of anchors, such as a system's
_LONGEST_CHAIN = 32
# to look up one in a CRL of a million takes 45 ms, to walk through it 700
_FEW = 16

_FOLDERS = ("folder", "project", "circuitpython", "littlefs", "fat")
# two files are a pair whose names say so
_KEY_NAMES = {"key": "cert"}


@dataclass
class _Said:
    """What is found of each thing, until it is put into the tree."""

    findings: dict[int, list[Finding]] = field(default_factory=dict)
    facts: dict[int, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, one: Thing, *found: Finding) -> None:
        self.findings.setdefault(id(one), []).extend(found)

    def fact(self, one: Thing, key: str, value: str) -> None:
        self.facts.setdefault(id(one), []).append((key, value))

    def into(self, one: Thing) -> Thing:
        inside = tuple(self.into(part) for part in one.inside)
        facts = (*one.facts, *self.facts.get(id(one), ()))
        made = replace(one, inside=inside, facts=facts)
        return made.with_findings(*self.findings.get(id(one), ()))


def related(things: Sequence[Thing], now: datetime) -> list[Thing]:
    """The things with what is found between them."""
    said = _Said()
    every = [one for top in things for one in top.all()]
    _pairs(things, every, said)
    certificates = [one for one in every if one.certificate is not None]
    for one in every:
        if one.kind in ("several", "pkcs12", "pkcs7"):
            _chain(one, [part for part in one.inside if part.certificate], certificates, said, now)
    inner = {id(part) for one in every if one.kind not in _FOLDERS for part in one.inside}
    for one in certificates:
        if id(one) not in inner:
            _chain(one, [one], certificates, said, now)
    for one in every:
        if one.crl is not None:
            _crl(one, certificates, said, now)
    _names(every, said)
    return [said.into(one) for one in things]


# keys


def _pairs(tops: Sequence[Thing], every: Sequence[Thing], said: _Said) -> None:
    owners: dict[bytes, list[Thing]] = {}
    for one in every:
        if one.certificate is not None:
            owners.setdefault(one.spki, []).append(one)
    for key in every:
        if key.kind not in ("private_key", "public_key", "csr") or not key.spki:
            continue
        own = owners.get(key.spki, [])
        # the one beside it, where there are several copies
        for certificate in sorted(own, key=lambda one: not _named_alike(key, one))[:1]:
            assert certificate.certificate is not None
            name = certview.name(certificate.certificate)
            said.fact(key, "belongs_to", f"{name} ({certificate.where})")
            if key.kind == "private_key" and certificate.role == CA:
                said.add(key, *_ca_key(key))
        if not own and key.kind == "private_key":
            said.add(key, *_stranger(key, _company(key, tops, every)))


def _ca_key(key: Thing) -> Iterator[Finding]:
    if key.private:
        what = "It is the key of a CA, and lies there in clear: whoever copies it is the CA."
        fix = "Encrypt it: openssl pkcs8 -topk8 -scrypt -in OLD -out NEW; then remove the old one."
        yield Finding(WRONG if key.exposed else WARNING, "clear_ca_key", what, fix)


def _company(key: Thing, tops: Sequence[Thing], every: Sequence[Thing]) -> list[Thing]:
    """The certificates of which one ought to be the key's."""
    for one in every:
        if any(part is key for part in one.inside) and one.kind not in _FOLDERS:
            return [part for part in one.inside if part.certificate is not None]
    if any(one is key for one in tops):
        return [part for one in tops for part in one.all() if part.certificate is not None]
    for one in every:
        if one.kind in _FOLDERS and any(part is key for part in one.inside):
            mates = [part for part in one.inside if _named_alike(key, part)]
            return [part for mate in mates for part in mate.all() if part.certificate is not None]
    return []


def _named_alike(key: Thing, other: Thing) -> bool:
    mine, theirs = _path(key), _path(other)
    stem = _KEY_NAMES.get(mine.stem, mine.stem)
    return mine.parent == theirs.parent and theirs.stem == stem


def _path(one: Thing) -> PurePosixPath:
    return PurePosixPath(one.where.replace(":", "/"))


def _stranger(key: Thing, company: Sequence[Thing]) -> Iterator[Finding]:
    if not company:
        return
    first = company[0].certificate
    assert first is not None
    what = f"The private key is not the one of {certview.name(first)!r}"
    what += " or of any other certificate here." if len(company) > 1 else "."
    fix = "Find the key that was made with it, or issue the certificate again for this key."
    yield Finding(WRONG, "key_mismatch", what, fix)


# chains


def _chain(
    holder: Thing, links: Sequence[Thing], every: Sequence[Thing], said: _Said, now: datetime
) -> None:
    """What there is to say of the certificates of one file, told of the file."""
    found = [one.certificate for one in links if one.certificate is not None]
    if not found or len(found) > _LONGEST_CHAIN or _are_anchors(found):
        return
    others = [one.certificate for one in every if one.certificate not in found]
    known = [one for one in others if one is not None]
    ordered, findings = check_chain(found, now, known=known, complete=False)
    said.add(holder, *(one for one in findings if not _is_lone(one, found)))
    if len(ordered) > 1:
        said.fact(holder, "chain", ", then ".join(certview.name(one) for one in ordered))
    top = ordered[-1]
    if certview.signed_by(top, top):
        return
    above = next((one for one in every if one.certificate and _issued(top, one.certificate)), None)
    if above is not None:
        assert above.certificate is not None
        name = certview.name(above.certificate)
        said.fact(holder, "issued_by", f"{name} ({above.where}): its signature is right")


def _is_lone(found: Finding, links: Sequence[x509.Certificate]) -> bool:
    """A CA's certificate alone in its file lacks nothing there."""
    alone = len(links) == 1 and certview.is_ca(links[0])
    return alone and found.cause == "incomplete_chain" and found.severity != NOTE


def _are_anchors(found: Sequence[x509.Certificate]) -> bool:
    """Whether all of them are roots: then they are a list of whom to trust, and no chain."""
    return len(found) > 1 and all(certview.signed_by(one, one) for one in found)


def _issued(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    return certview.signed_by(one, issuer)


# revocation


def _crl(one: Thing, certificates: Sequence[Thing], said: _Said, now: datetime) -> None:
    """Its signature against its CA's, and which of the certificates here are on it."""
    assert one.crl is not None
    issuers = [part.certificate for part in certificates if part.certificate is not None]
    seen = revocation.assess(one.crl, {}, issuers, now)
    causes = ("crl_forged",)
    said.add(one, *taken_over(found for found in seen.findings if found.code in causes))
    if seen.signed is None:
        what = f"Its signature was not checked: the certificate of {seen.issuer!r} is not here."
        said.add(one, Finding(NOTE, "crl_foreign", what, "Name that certificate too."))
    elif seen.signed:
        said.fact(one, "issued_by", f"{seen.issuer}: its signature is right")
    for part in _perhaps_listed(one.crl, certificates):
        assert part.certificate is not None
        held = revocation.assess(one.crl, {"it": part.certificate}, [], now).revoked
        if "it" in held:
            what = f"{certview.name(part.certificate)!r} was revoked {held['it']}, by {one.where}."
            fix = "Provision the board again." if part.role == DEVICE else "Issue a new one."
            said.add(part, Finding(WRONG, "revoked", what, fix))


def _perhaps_listed(
    crl: x509.CertificateRevocationList, certificates: Sequence[Thing]
) -> list[Thing]:
    """The certificates that have to be looked up: one walk through the list where they are many."""
    own = [one for one in certificates if one.certificate and one.certificate.issuer == crl.issuer]
    if len(own) <= _FEW:
        return own
    wanted = {one.certificate.serial_number for one in own if one.certificate}
    with certview.quiet():
        listed = {entry.serial_number for entry in crl if entry.serial_number in wanted}
    return [one for one in own if one.certificate and one.certificate.serial_number in listed]


# names


def _names(every: Sequence[Thing], said: _Said) -> None:
    """A board's and a broker's names: in settings and in certificates."""
    for one in every:
        if one.settings is None:
            continue
        if one.kind == "fleet":
            _broker(one, every, said)
        elif board.is_boards_own(_path(one).as_posix()):
            _device(one, every, said)


def _broker(fleet: Thing, every: Sequence[Thing], said: _Said) -> None:
    assert fleet.settings is not None
    names = fleet.settings["names"]
    assert isinstance(names, list)
    folder = _path(fleet).parent / "broker"
    for one in every:
        leaf = one.certificate
        if one.role != BROKER or leaf is None or _path(one).parent != folder:
            continue
        for name in names:
            if not chain.matches(leaf, name):
                shown = ", ".join(papers.alternative_names(leaf)) or "nobody"
                what = f"The broker's certificate is for {shown}, not for {name}."
                fix = "Issue it for that name (firmshake ca broker), or correct fleet.toml."
                said.add(one, Finding(WRONG, "hostname_mismatch", what, fix))


def _device(settings: Thing, every: Sequence[Thing], said: _Said) -> None:
    assert settings.settings is not None
    wanted = settings.settings.get("device")
    for one in every:
        leaf = one.certificate
        if one.role != DEVICE or leaf is None or _path(one).parent != _path(settings).parent:
            continue
        if certview.name(leaf) != wanted:
            what = f"The settings are those of {wanted!r}, the certificate is of"
            what += f" {certview.name(leaf)!r}."
            fix = "Provision the board again, so that both are made together."
            said.add(one, Finding(WRONG, "wrong_device", what, fix))
