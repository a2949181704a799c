"""A server's view as lines for people: what is wrong first, then the parts. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from firmshake.ladderview import Hanging, Line
from firmshake.serverview import prediction, suites
from firmshake.serverview.acceptance import Acceptance
from firmshake.serverview.certview import CertificateView
from firmshake.serverview.chain import Chain
from firmshake.serverview.compare import Comparison
from firmshake.serverview.credentials import Credentials
from firmshake.serverview.finding import ERROR, NOTE, WARNING, Finding
from firmshake.serverview.probe import VERSIONS, Offered
from firmshake.serverview.resumption import Resumption
from firmshake.serverview.revocation import Revocation
from firmshake.serverview.view import ServerView
from firmshake.wording import printable

_COLUMN = 10  # of a part's text
_DEEPER = 8  # of what belongs to one certificate: a SHA-256 just fits into 80 columns
_VERSION = _COLUMN + 9  # of a version's suites
_FIX = 9
_BESIDE = 20  # of what the two see

# level: mark, style
_MARKS = {ERROR: ("✗", "bold red"), WARNING: ("!", "yellow"), NOTE: ("·", "dim")}


def show(view: ServerView) -> RenderableType:
    """All of the view, its findings first."""
    where = f"the broker {view.server.where}"
    if view.server.name != view.server.host:
        where += f" as {view.server.name}"
    head = Line(Text(f"What this computer sees of {where}", "bold"))
    return Group(Text(""), head, *_verdict(view), *_parts(view))


def _verdict(view: ServerView) -> Iterator[RenderableType]:
    yield from findings(view.findings)
    if not view.findings and not view.missing:
        yield Line(Text("✓ nothing is wrong with it", "green"))


def beside(found: Comparison) -> RenderableType:
    """The board's view, this computer's, and what follows."""

    def line(label: str, said: str, style: str = "") -> Hanging:
        return Hanging(Text(label, "bold"), Text(printable(said), style), _BESIDE, 0)

    parts: list[RenderableType] = [
        Text(""),
        line("the board sees", found.board, _verdict_style(found.board)),
        line("", found.board_why),
        line("this computer sees", found.computer, _verdict_style(found.computer)),
        line("", found.computer_why),
        line("therefore", found.so, "bold"),
    ]
    if found.do:
        parts.append(line("fix", found.do))
    return Group(*parts, line("", f"({found.because})", "dim"))


def _verdict_style(verdict: str) -> str:
    return "green" if verdict == "ready" else "red"


def findings(found: tuple[Finding, ...]) -> Iterator[RenderableType]:
    """Each finding with what to do about it."""
    for one in found:
        mark, style = _MARKS[one.level]
        yield Hanging(Text(mark, style), Text(printable(one.text), style), 2, 0)
        if one.fix:
            yield Hanging(Text("fix", "bold"), Text(one.fix), _FIX)


def _parts(view: ServerView) -> Iterator[RenderableType]:
    for part, said in view.missing.items():
        if part == "client":
            continue  # said beside what else there is to say of it
        yield _part(part if part != "handshakes" else "", Text(printable(said), "yellow"))
    if view.offered is not None:
        yield from _boards(view.offered)
    yield from _client(view.credentials, view.acceptance, view.missing.get("client", ""))
    if view.chain is not None:
        yield from _chain(view.chain, view.same_chain)
    if view.offered is not None:
        yield from _suites(view.offered)
    yield from _resumptions(view.resumptions, view.offered)
    if view.revocation is not None:
        yield _part("CRL", Text(printable(_revocation(view.revocation))))


def _part(label: str, text: Text) -> Hanging:
    return Hanging(Text(label, "bold"), text, _COLUMN, 0)


def _chain(chain: Chain, same: bool | None) -> Iterator[RenderableType]:
    anchor = chain.anchor.subject if chain.anchor else ""
    said = f"leads to {anchor!r}, trusted" if anchor else "leads to nothing that is trusted"
    if same is not None:
        said += "; the same in TLS 1.3" if same else "; another in TLS 1.3"
    yield _part("chain", Text(printable(said)))
    for place, one in enumerate(chain.certificates):
        yield from _certificate(place, one, place in chain.path)


def _certificate(place: int, one: CertificateView, needed: bool) -> Iterator[RenderableType]:
    title = f"{one.subject}, from {one.issuer}" + ("" if needed else " (not needed)")
    label = Text(f"{place + 1}", "bold")
    yield Hanging(label, Text(printable(title)), _DEEPER, _DEEPER - 3)
    lines = [f"valid {one.not_before:%Y-%m-%d} to {one.not_after:%Y-%m-%d}, {_left(one)}"]
    if one.names:
        lines.append(f"for {', '.join(one.names)}")
    lines.append(f"{one.key}, signed with {one.signature}, {one.size} bytes")
    if one.usages:
        lines.append(", ".join(one.usages))
    lines.append(f"SHA-256 {one.sha256}")
    for line in lines:
        yield Hanging(Text(""), Text(printable(line), "dim"), _DEEPER)


def _left(one: CertificateView) -> str:
    if one.days_left > 0:
        return f"{one.days_left} day{'s' if one.days_left > 1 else ''} left"
    if one.days_left < 0:
        return "expired"
    return f"until {one.not_after:%H:%M} UTC"


def _boards(offered: Offered) -> Iterator[RenderableType]:
    label = "boards"
    width = max(len(choice.firmware.board) for choice in offered.choices) + 2
    for choice in offered.choices:
        style = "" if choice.agreed else "red"
        text = Text(
            f"{choice.firmware.board:<{width}}" + prediction.sentence(choice, offered), style
        )
        yield _part(label, text)
        label = ""


def _suites(offered: Offered) -> Iterator[RenderableType]:
    label = "accepts"
    for version in offered.versions:
        taken = offered.suites[version]
        text = Text(", ".join(map(suites.name, taken)))
        yield Hanging(
            Text.assemble((f"{label:<{_COLUMN}}", "bold"), VERSIONS[version]), text, _VERSION, 0
        )
        label = ""
    none = [VERSIONS[version] for version in offered.suites if version not in offered.versions]
    said = f"not {', '.join(sorted(none))}" if none else ""
    if offered.own_order is not None:
        order = "the broker's" if offered.own_order else "the client's"
        said += f"{'; ' if said else ''}{order} order of suites counts"
    if offered.stopped:
        said += f"; not all was asked: {offered.stopped}"
    if said:
        yield _part(label, Text(printable(said), "dim"))


def _resumptions(
    tried: tuple[Resumption, ...], offered: Offered | None
) -> Iterator[RenderableType]:
    """Each way of a version that the broker speaks; one line where none could be tried."""
    spoken = [VERSIONS[version] for version in offered.versions] if offered else []
    possible = [one for one in tried if one.way.startswith(tuple(spoken))] if spoken else []
    if possible and all(one.resumes is None for one in possible):
        yield _part("resumes", Text(printable(f"not tried: {possible[0].said}")))
        return
    label = "resumes"
    for one in possible:
        yield _part(label, Text(printable(f"{one.way:<22} {_resumption(one)}")))
        label = ""
    if any(one.resumes for one in possible):
        yield _part("", Text("stock firmware never asks for it", "dim"))


def _resumption(one: Resumption) -> str:
    if one.resumes:
        said = f"yes, in {one.short_bytes} bytes for {one.full_bytes}"
        return f"{said}, {one.short_ms:.0f} ms for {one.full_ms:.0f}"
    return f"no: {one.said}" if one.resumes is False else f"not tried: {one.said}"


def _client(
    own: Credentials | None, taken: Acceptance | None, withheld: str
) -> Iterator[RenderableType]:
    label = "client"
    if own is not None and own.certificate is not None:
        match = {True: "match", False: "do not match", None: "cannot be compared"}[own.match]
        said = f"{own.certificate.subject}: key and certificate {match}, {_left(own.certificate)}"
        yield _part(label, Text(printable(said)))
        label = ""
    if withheld:
        yield _part(label, Text(withheld, "yellow"))
        label = ""
    if taken is None:
        return
    yield _part(label, Text(printable(_wanted(taken))))
    if taken.shown:
        for version, why in taken.taken.items():
            yield _part("", Text(printable(f"{version}: {why or 'accepted'}")))


def _wanted(taken: Acceptance) -> str:
    if taken.asks is False:
        return "the broker wants no certificate from clients"
    if taken.asks is None:
        return "whether the broker wants a certificate could not be told"
    need = {True: "requires", False: "asks for", None: "asks for"}[taken.required]
    whose = ", ".join(map(repr, taken.authorities)) or "any CA that it knows"
    end = "" if taken.required is not False else ", and goes on without"
    return f"the broker {need} a certificate from {whose}{end}"


def _revocation(crl: Revocation) -> str:
    signed = {True: "its signature is right", False: "its signature is wrong", None: "not checked"}
    ends = f"next update {crl.next_update:%Y-%m-%d}" if crl.next_update else "no next update"
    said = f"from {crl.issuer!r}, {crl.entries} revoked, {ends}, {signed[crl.signed]}"
    ours = [f"{who} revoked {when}" for who, when in crl.revoked.items()]
    return f"{said}; {', '.join(ours) or 'neither broker nor client is on it'}"
