"""The chain that a server sends: how its links lead to the CA that is trusted, and what breaks.

Does no I/O. `cryptography`'s verifier has the last word on whether it holds; the findings say where
and why, and what boards see otherwise: mbedTLS looks for an issuer only behind a certificate, and
refuses weak keys and hashes (mbedtls_x509_crt_profile_default).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509 import verification

from firmshake.serverview import certview, weakness
from firmshake.serverview.certview import CertificateView
from firmshake.serverview.finding import ERROR, NOTE, WARNING, Finding, worst_first


@dataclass(frozen=True)
class Chain:
    """What was sent, in the order in which it came; `path` are the places of the links in it.

    `anchor` is the trusted certificate where the path ends, None where it ends in nothing;
    `verified` is the verifier's word, and `refusal` its reason.
    """

    certificates: tuple[CertificateView, ...]
    path: tuple[int, ...]
    anchor: CertificateView | None
    name_matches: bool
    verified: bool
    refusal: str
    findings: tuple[Finding, ...]


def assess(
    sent: Sequence[bytes],
    anchors: Sequence[x509.Certificate],
    name: str,
    now: datetime,
    known: Sequence[x509.Certificate] = (),
) -> Chain:
    """The chain `sent` (DER, the server's own first) held against `anchors` and the name wanted.

    `known` are other certificates that we have (a project's intermediates): with their help a link
    that is missing can be named.
    """
    read = [certview.load(data) for data in sent]
    good = [one for one in read if one is not None]
    if not good or read[0] is None:
        found = Finding("malformed", ERROR, "The server's certificate cannot be read.", _RENEW)
        return Chain((), (), None, False, False, "no certificate", (found,))
    path, anchor = _path(good, anchors)
    verified, refusal = _verify(good, anchors, name, now)
    findings = [*_links(good, path, anchor, anchors, known), *_order(good, path, anchor, anchors)]
    links = [good[place] for place in path]
    findings += _dates([*links, *([anchor] if anchor else [])], now)
    findings += _name(good[0], name)
    findings += _usages(links)
    findings += weakness.of_chain([certview.of(one, now) for one in links])
    if len(good) < len(read):
        findings.append(Finding("malformed", ERROR, "A certificate sent cannot be read.", _RENEW))
    if anchor:
        findings += weakness.of_anchor(certview.of(anchor, now))
    if not verified and not any(found.level == ERROR for found in findings):
        text = f"The path check of web browsers refuses the chain: {refusal}."
        findings.append(Finding("strict", WARNING, text, "Boards are less strict; others may not."))
    return Chain(
        tuple(certview.of(one, now) for one in good),
        tuple(path),
        certview.of(anchor, now) if anchor else None,
        matches(good[0], name),
        verified,
        refusal,
        worst_first(findings),
    )


_RENEW = "Give the broker a new certificate."


def _path(
    sent: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]
) -> tuple[list[int], x509.Certificate | None]:
    """The places of the links from the server's own on, and the anchor that the last leads to."""
    path = [0]
    while True:
        link = sent[path[-1]]
        for anchor in anchors:
            if link == anchor or certview.signed_by(link, anchor):
                return path, anchor
        found = [
            place
            for place, one in enumerate(sent)
            if place not in path and certview.signed_by(link, one)
        ]
        if not found:
            return path, None
        # one that stands behind, where there are several: the only one that boards find
        path.append(next((place for place in found if place > path[-1]), found[0]))


def _links(
    sent: Sequence[x509.Certificate],
    path: Sequence[int],
    anchor: x509.Certificate | None,
    anchors: Sequence[x509.Certificate],
    known: Sequence[x509.Certificate],
) -> Iterator[Finding]:
    """Why the path ends in nothing."""
    if anchor is not None:
        return
    top = sent[path[-1]]
    subject, issuer = certview.name(top), certview.name(top, "issuer")
    trusts = ", ".join(repr(certview.name(one)) for one in anchors) or "nothing"
    if certview.signed_by(top, top):
        if len(path) == 1:
            text = f"The certificate {subject!r} signed itself; trusted is {trusts}."
            yield Finding("self_signed", ERROR, text, "Give the broker a certificate of your CA.")
            return
        text = f"The chain ends in the root {subject!r}; trusted is {trusts}."
        yield Finding("unknown_ca", ERROR, text, _OTHER_CA)
    elif any(certview.names_issuer(top, one) for one in anchors):
        text = f"{subject!r} was issued by a CA {issuer!r} with another key than the one trusted."
        yield Finding("unknown_ca", ERROR, text, _REMADE_CA)
    elif any(_leads(top, one, anchors) for one in known):
        text = f"The broker does not send the intermediate {issuer!r} that issued {subject!r}."
        yield Finding("incomplete_chain", ERROR, text, _ADD_LINK)
    else:
        text = (
            f"{subject!r} was issued by {issuer!r}, which is neither sent nor trusted ({trusts})."
        )
        yield Finding("issuer_unknown", ERROR, text, _EITHER)


_OTHER_CA = "Issue the broker's certificate from your CA, or trust that root (--ca)."
_REMADE_CA = "The CA was made anew under its old name: issue the broker's certificate again."
_ADD_LINK = "Append the intermediate to the broker's certificate file (mosquitto: certfile)."
_EITHER = "Append that certificate to the broker's, if it is your intermediate; else trust its CA."


def _leads(
    link: x509.Certificate, issuer: x509.Certificate, anchors: Sequence[x509.Certificate]
) -> bool:
    return certview.signed_by(link, issuer) and any(
        certview.signed_by(issuer, anchor) for anchor in anchors
    )


def _order(
    sent: Sequence[x509.Certificate],
    path: Sequence[int],
    anchor: x509.Certificate | None,
    anchors: Sequence[x509.Certificate],
) -> Iterator[Finding]:
    """What stands in the wrong place, or for nothing."""
    if list(path) != sorted(path):
        text = "The intermediates are sent in the wrong order; boards do not sort them."
        yield Finding("out_of_order", ERROR, text, "Put each certificate before its issuer's.")
    for place, one in enumerate(sent):
        size, subject = len(certview.der(one)), certview.name(one)
        if place in path and one != anchor:
            continue
        if one in anchors and place > 0:
            text = f"The root {subject!r} is sent too: {size} bytes more in each handshake."
            yield Finding("root_sent", NOTE, text, "Leave it out: who trusts it has it.")
        elif place not in path and anchor is not None:
            text = f"{subject!r} is sent and not needed: {size} bytes more in each handshake."
            yield Finding("superfluous", NOTE, text, "Leave it out of the broker's file.")


def _dates(links: Sequence[x509.Certificate], now: datetime) -> Iterator[Finding]:
    for one in links:
        subject, ends = certview.name(one), one.not_valid_after_utc
        if now > ends:
            text = f"{subject!r} expired on {ends:%Y-%m-%d}, {certview.days(now - ends)} ago."
            yield Finding("expired", ERROR, text, "Renew it and reload the broker.")
        elif now < one.not_valid_before_utc:
            text = f"{subject!r} is valid only from {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC."
            yield Finding("not_yet_valid", ERROR, text, "Check the clock of who issued it.")
        elif certview.ends_soon(one, now):
            text = f"{subject!r} expires in {certview.days(ends - now)}, on {ends:%Y-%m-%d}."
            yield Finding("expires_soon", WARNING, text, "Renew it and reload the broker.")


def _name(leaf: x509.Certificate, name: str) -> Iterator[Finding]:
    shown = certview.names(leaf)
    if matches(leaf, name):
        return
    if not shown and certview.name(leaf).lower() == name.lower():
        text = f"Only the common name says {name}; boards take that, newer libraries do not."
        yield Finding("no_san", WARNING, text, "State it as a subject alternative name too.")
        return
    text = f"The certificate is for {', '.join(shown) or certview.name(leaf)}, not for {name}."
    fix = "Connect under one of its names (server_name), or issue it for this one."
    yield Finding("hostname_mismatch", ERROR, text, fix)


def matches(leaf: x509.Certificate, name: str) -> bool:
    """Whether one of its alternative names is this one; "*" stands for the leftmost label."""
    shown = certview.names(leaf)
    try:
        wanted = ipaddress.ip_address(name)
    except ValueError:
        rest = name.lower().rstrip(".")
        star = "*." + rest.partition(".")[2]
        return any(one.lower().rstrip(".") in (rest, star) for one in shown)
    return str(wanted) in shown


def _usages(links: Sequence[x509.Certificate]) -> Iterator[Finding]:
    if not certview.serves(links[0]):
        text = f"{certview.name(links[0])!r} is not made for servers (no serverAuth)."
        yield Finding("wrong_usage", ERROR, text, "Issue a server's certificate for the broker.")
    for one in links[1:]:
        if not certview.is_ca(one):
            text = f"{certview.name(one)!r} issued the one below it and is not a CA's."
            yield Finding("not_a_ca", ERROR, text, "Issue the broker's certificate from a CA.")


def _verify(
    sent: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    name: str,
    now: datetime,
) -> tuple[bool, str]:
    """The verifier's word, and why not."""
    if not anchors:
        return False, "there is nothing to trust"
    try:
        subject: x509.IPAddress | x509.DNSName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    builder = verification.PolicyBuilder().store(verification.Store(list(anchors))).time(now)
    try:
        verifier = builder.build_server_verifier(subject)
        verifier.verify(sent[0], list(sent[1:]))
    except (verification.VerificationError, *certview.ODD) as error:
        return False, str(error).splitlines()[0] if str(error) else type(error).__name__
    return True, ""
