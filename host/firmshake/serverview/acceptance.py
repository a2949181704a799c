"""Whether the server asks for the client's certificate, and takes it. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from firmshake.serverview import names
from firmshake.serverview.answer import Answer
from firmshake.serverview.finding import ERROR, WARNING, Finding
from firmshake.serverview.resumption import why_not
from firmshake.serverview.shake import Shake

# alert by which a server refuses: cause of the vocabulary (tls.client_certificate/...), words
ALERTS = {
    "bad_certificate": ("rejected", "without saying why"),
    "unsupported_certificate": ("unsupported", "as of a kind that it does not take"),
    "certificate_revoked": ("revoked", "as revoked"),
    "certificate_expired": ("expired", "as expired"),
    "certificate_unknown": ("rejected", "for a reason of its own"),
    "unknown_ca": ("unknown_ca", "as from a CA that it does not know"),
    "access_denied": ("access_denied", "as not allowed"),
    "decrypt_error": ("key_mismatch", "as shown with another key"),
    "handshake_failure": ("rejected", "without saying why"),
    "certificate_required": ("missing", "as missing"),
}


@dataclass(frozen=True)
class Acceptance:
    """Whether a certificate is wanted, and what came of ours.

    `asks` is whether one is wanted, from `authorities` (none: any), `required` whether there is no
    way without; `taken` is for each version "" where all went well, else why not. `asks` and
    `required` are None where that could not be told; `shown` is whether we had one.
    """

    asks: bool | None
    required: bool | None
    shown: bool
    authorities: tuple[str, ...]
    taken: Mapping[str, str]
    findings: tuple[Finding, ...]


def judge(
    answer: Answer,
    tried: Mapping[str, Shake],
    anonymous: Mapping[str, Shake],
    *,
    withheld: bool = False,
) -> Acceptance:
    """What the server wants, from its first flight and from handshakes with and without one.

    `withheld` is whether there is one that this server is not to see: that it is missing is no
    finding then.
    """
    shown = bool(anonymous)
    spoken = {version: one for version, one in tried.items() if one.chain or one.done}
    without = anonymous if shown else tried
    answered = {version: one for version, one in without.items() if one.ended != "timeout"}
    ends = [one.done for version, one in answered.items() if version in spoken]
    required = None if not ends else not any(ends)
    asks = answer.asks if answer.version else (True if required else None)
    findings = _refusals(spoken, asks) if shown else _demand(spoken, asks, withheld)
    return Acceptance(
        asks=asks,
        required=required,
        shown=shown,
        authorities=tuple(map(names.of_der, answer.authorities)),
        taken={version: "" if one.done else why_not(one) for version, one in spoken.items()},
        findings=tuple(findings),
    )


def _demand(spoken: Mapping[str, Shake], asks: bool | None, withheld: bool) -> Iterator[Finding]:
    """What there is to say where we showed none."""
    failed = [one for one in spoken.values() if not one.done]
    if failed and asks and withheld:
        return
    if failed and asks:
        fix = "Show one: --device in a project, or --cert and --key."
        yield Finding("missing", WARNING, "The broker wants a client's certificate.", fix)
    elif failed:
        yield _broken(failed[0])


def _refusals(spoken: Mapping[str, Shake], asks: bool | None) -> Iterator[Finding]:
    """What the server has against the certificate that we showed."""
    for version, one in spoken.items():
        if one.done:
            continue
        if not asks:
            yield _broken(one)
            continue
        cause, words = ALERTS.get(one.alert, ("rejected", ""))
        said = f", {words} (alert {one.alert})" if words else f": {why_not(one)}"
        text = f"The broker refuses the client's certificate under {version}{said}."
        yield Finding(f"client_{cause}", ERROR, text, _FIXES.get(cause, _LOOK))


def _broken(one: Shake) -> Finding:
    return Finding("handshake_fails", ERROR, f"The handshake fails: {why_not(one)}.", _LOOK)


_LOOK = "Look in the broker's log at this moment: it says why."
_FIXES = {
    "unknown_ca": "Give the broker your CA's root certificate to check clients by (cafile).",
    "expired": "Provision the device again for a new certificate; check the broker's clock.",
    "revoked": "Provision the device again, if it is to be let in.",
    "key_mismatch": "Make key and certificate together: provision the device again.",
}
