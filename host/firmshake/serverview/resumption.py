"""Whether a server resumes sessions, each way that there is, and what that saves."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from firmshake.serverview.reach import Server
from firmshake.serverview.shake import V12, V13, Shake, context, shake

V12_ID, V12_TICKET, V13_TICKET = (
    "TLS 1.2 by session id",
    "TLS 1.2 by ticket",
    "TLS 1.3 by ticket",
)

# way: TLS version, whether tickets are asked for
WAYS = {V12_ID: (V12, False), V12_TICKET: (V12, True), V13_TICKET: (V13, True)}


@dataclass(frozen=True)
class Resumption:
    """One way: `resumes` is None where a first handshake was not possible; `said` is why not.

    Bytes are both directions', milliseconds those of one handshake each: a hint, no measurement.
    """

    way: str
    resumes: bool | None
    said: str
    full_bytes: int = 0
    short_bytes: int = 0
    full_ms: float = 0.0
    short_ms: float = 0.0


def probe(server: Server, files: Mapping[str, bytes]) -> list[tuple[Resumption, Shake]]:
    """Each way tried, with its first handshake. Raises Unreached where there is no connection.

    A version at which the server fell silent is not waited for again.
    """
    found = []
    silent: dict[ssl.TLSVersion, Shake] = {}
    for way, (version, tickets) in WAYS.items():
        made = context(version, files, tickets)
        first = silent.get(version) or shake(server, made)
        if first.ended == "timeout":
            silent[version] = first
        found.append((_judge(way, server, made, tickets, first), first))
    return found


def _judge(
    way: str, server: Server, made: ssl.SSLContext, tickets: bool, first: Shake
) -> Resumption:
    if not first.done:
        return Resumption(way, None, why_not(first))
    if tickets and not (first.session and first.session.has_ticket):
        return Resumption(way, False, "the server gives no ticket", first.bytes, 0, first.ms)
    if not tickets and not (first.session and first.session.id):
        return Resumption(way, False, "the server gives no session id", first.bytes, 0, first.ms)
    again = shake(server, made, first.session)
    if not again.done:
        said = f"asked to resume, it breaks off: {why_not(again)}"
        return Resumption(way, False, said, first.bytes, 0, first.ms)
    if not again.resumed:
        return Resumption(way, False, "it begins anew", first.bytes, again.bytes, first.ms)
    return Resumption(way, True, "", first.bytes, again.bytes, first.ms, again.ms)


# how a handshake ended: in words
_ENDS = {
    "closed": "the server closed the connection",
    "reset": "the connection was reset",
    "timeout": "the server fell silent",
    "error": "what it sent is no handshake of this version",
}


def why_not(tried: Shake) -> str:
    """Why a handshake was not finished, in words."""
    if tried.alert:
        return f"refused with the alert {tried.alert}"
    return _ENDS.get(tried.ended, "not finished")
