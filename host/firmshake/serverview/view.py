"""The whole of what a full library sees of a server, put together from its parts."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography import x509

from firmshake.serverview import (
    certview,
    chain,
    credentials,
    firmwares,
    hello,
    prediction,
    probe,
    resumption,
    revocation,
    suites,
)
from firmshake.serverview.acceptance import Acceptance, judge
from firmshake.serverview.chain import Chain
from firmshake.serverview.credentials import Credentials
from firmshake.serverview.finding import Finding, worst_first
from firmshake.serverview.probe import Offered
from firmshake.serverview.reach import Server, Unreached
from firmshake.serverview.resumption import Resumption
from firmshake.serverview.revocation import Revocation
from firmshake.serverview.shake import V12, V13, Shake, context, shake

_WITHHELD = "its certificate was not shown: the ladder did not get so far as to trust the broker"


@dataclass(frozen=True)
class ServerView:
    """What was seen; a part that could not be looked at is None, and `missing` says why.

    `findings` are those of all the parts, errors first. `cause` is the vocabulary's word where the
    server could not be asked at all.
    """

    server: Server
    chain: Chain | None = None
    same_chain: bool | None = None
    offered: Offered | None = None
    resumptions: tuple[Resumption, ...] = ()
    acceptance: Acceptance | None = None
    credentials: Credentials | None = None
    revocation: Revocation | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    cause: str = ""
    findings: tuple[Finding, ...] = ()

    def codes(self) -> frozenset[str]:
        """The codes of all findings."""
        return frozenset(found.code for found in self.findings)


def look(
    server: Server,
    files: Mapping[str, bytes],
    now: datetime,
    *,
    known: Sequence[x509.Certificate] = (),
    crl: x509.CertificateRevocationList | None = None,
    unreached: Unreached | None = None,
    trusted: bool = True,
) -> ServerView:
    """All that there is to see of the server with the identity in `files`. Never raises Unreached.

    `files` are as on a board: ca.der, and where a client's certificate is shown cert.der and
    key.der. `known` are intermediates that we have, and the server should send. `unreached` is
    given where it is known already that there is no way to it. Where the server is not `trusted`,
    the client's certificate is looked at here, and not shown to it.
    """
    anchors = credentials.certificates(files.get("ca.der", b""))
    own = credentials.chain(files)
    view = ServerView(server)
    if "cert.der" in files:
        view = replace(view, credentials=credentials.assess(files, now))
    shown = files if view.credentials and view.credentials.usable else {}
    if shown and not trusted:
        view, shown = replace(view, missing={"client": _WITHHELD}), {}
    sent: tuple[bytes, ...] = ()
    try:
        if unreached is not None:
            raise unreached
        view, sent = _ask(view, shown, anchors, now, [*known, *own[1:]])
    except Unreached as stop:
        view = replace(view, cause=stop.cause, missing={"server": stop.said})
    if crl is not None:
        view = replace(view, revocation=_revocation(crl, sent, own, [*anchors, *known], now))
    return replace(view, findings=_all_findings(view))


def _ask(
    view: ServerView,
    shown: Mapping[str, bytes],
    anchors: Sequence[x509.Certificate],
    now: datetime,
    known: Sequence[x509.Certificate],
) -> tuple[ServerView, tuple[bytes, ...]]:
    """The view with all that the server itself has told, and the chain that it sends.

    `shown` is the identity that it is shown, empty for none.
    """
    server = view.server
    offer = hello.Offer(firmwares.TLS12, suites.TLS12, name=server.asked, alpn=server.alpn)
    plain = probe.ask(server, offer)
    if not plain.is_tls:
        raise Unreached("tls.client_hello/not_tls", f"{server.where} answers without TLS")
    view = replace(view, offered=probe.survey(server))
    try:
        tried = resumption.probe(server, shown)
    except (ssl.SSLError, ValueError) as error:
        missing = {**view.missing, "handshakes": f"OpenSSL refuses the client's identity: {error}"}
        return _with_chain(replace(view, missing=missing), plain.certificates, anchors, now, known)
    shakes = {one.way: made for one, made in tried}
    sent13 = shakes[resumption.V13_TICKET].chain
    view = replace(
        view,
        resumptions=tuple(one for one, _ in tried),
        same_chain=sent13 == plain.certificates if sent13 and plain.certificates else None,
        acceptance=judge(
            plain,
            _by_version(shakes),
            _anonymous(server, _by_version(shakes)) if shown else {},
            withheld="client" in view.missing,
        ),
    )
    return _with_chain(view, plain.certificates or sent13, anchors, now, known)


def _with_chain(
    view: ServerView,
    sent: tuple[bytes, ...],
    anchors: Sequence[x509.Certificate],
    now: datetime,
    known: Sequence[x509.Certificate],
) -> tuple[ServerView, tuple[bytes, ...]]:
    if not sent:
        missing = {**view.missing, "chain": "the server showed no certificate"}
        return replace(view, missing=missing), sent
    return replace(view, chain=chain.assess(sent, anchors, view.server.name, now, known)), sent


def _by_version(shakes: Mapping[str, Shake]) -> dict[str, Shake]:
    return {"TLS 1.2": shakes[resumption.V12_TICKET], "TLS 1.3": shakes[resumption.V13_TICKET]}


def _anonymous(server: Server, tried: Mapping[str, Shake]) -> dict[str, Shake]:
    """The same handshakes without a certificate; where the server fell silent, what was seen."""
    versions = {"TLS 1.2": V12, "TLS 1.3": V13}
    return {
        name: made if made.ended == "timeout" else shake(server, context(versions[name], {}))
        for name, made in tried.items()
    }


def _revocation(
    crl: x509.CertificateRevocationList,
    sent: Sequence[bytes],
    own: Sequence[x509.Certificate],
    issuers: Sequence[x509.Certificate],
    now: datetime,
) -> Revocation:
    chained = [one for one in map(certview.load, sent) if one is not None]
    whose = {}
    if chained:
        whose["broker"] = chained[0]
    if own:
        whose["client"] = own[0]
    return revocation.assess(crl, whose, [*issuers, *chained[1:], *own[1:]], now)


def _all_findings(view: ServerView) -> tuple[Finding, ...]:
    found: list[Finding] = []
    for part in (view.chain, view.credentials, view.acceptance, view.revocation):
        if part is not None:
            found.extend(part.findings)
    if view.offered is not None:
        found.extend(prediction.findings(view.offered))
    return worst_first(found)
