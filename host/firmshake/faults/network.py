"""The faults of a network, and of ports where something else than MQTT over TLS lives."""

from __future__ import annotations

import socket
from collections.abc import Callable

from firmshake.faults import ports, tls
from firmshake.faults.bench import Bench
from firmshake.faults.case import ANY, BOTH, Case, Serve
from firmshake.faults.mqtt import Broker
from firmshake.faults.oddtls import raw
from firmshake.faults.ports import Handler
from firmshake.faults.tls import Place, Shape
from firmshake.faults.websocket import status

# RFC 9293, 3.7.1: the segment size to assume where nothing is said
_SMALLEST_SEGMENT = 536

# a portal's way to show its own page
_PORTAL = status(b"302 Found", b"Location: http://portal.example/login")


def _tcp(handle: Handler) -> Serve:
    return lambda bench, version: bench.listen(handle)


def _reset_at_once(bench: Bench, version: str) -> int:
    return bench.listen(ports.reset, at_once=True)


def _shaped(shape: Shape) -> Serve:
    return lambda bench, version: bench.tls(bench.context(version), Broker(), shape)


def _after_hello(end: Handler) -> Handler:
    return raw(b"", end=end)


def _plain_mqtt(bench: Bench, version: str) -> int:
    return bench.listen(Broker())


def _tcp_cases() -> list[Case]:
    rows: list[tuple[str, str, str, Serve]] = [
        ("tcp-refused", "nothing listens", "tcp/refused", lambda b, v: b.bound_only()),
        (
            "tcp-dropped",
            "packets are dropped, as by a firewall",
            "tcp/timeout",
            lambda b, v: b.full(),
        ),
        ("tcp-reset", "connections are accepted and reset", "tcp/reset", _reset_at_once),
        (
            "hello-closed",
            "closed at the first TLS message",
            "tls.client_hello/closed",
            _tcp(_after_hello(ports.leave)),
        ),
        (
            "hello-reset",
            "reset at the first TLS message",
            "tls.client_hello/reset",
            _tcp(_after_hello(ports.reset)),
        ),
        ("half-open", "connected, and silent", "tls.client_hello/timeout", _tcp(ports.hold)),
        (
            "plain-http",
            "a web server without TLS",
            "tls.client_hello/not_tls_http",
            _tcp(raw(status(b"400 Bad Request"), end=ports.leave)),
        ),
        (
            "captive-portal",
            "a portal redirects to its page",
            "tls.client_hello/not_tls_http",
            _tcp(raw(_PORTAL, end=ports.leave)),
        ),
        (
            "plain-mqtt",
            "an MQTT broker without TLS",
            "tls.client_hello/not_tls_mqtt",
            _plain_mqtt,
        ),
        (
            "ssh",
            "another service that speaks first",
            "tls.client_hello/not_tls",
            _tcp(_banner(b"SSH-2.0-OpenSSH_9.9\r\n")),
        ),
        (
            "random-bytes",
            "bytes without a meaning",
            "tls.client_hello/not_tls",
            _tcp(raw(b"\x9d\x4c\x00\xff" * 16, end=ports.leave)),
        ),
    ]
    return [Case(name, what, verdict, ANY, serve) for name, what, verdict, serve in rows]


def _banner(text: bytes) -> Handler:
    def handle(connection: socket.socket) -> None:
        connection.sendall(text)
        ports.hold(connection)

    return handle


_ENDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("closed", ports.leave),
    ("reset", ports.reset),
    ("timeout", ports.hold),
)

# name, where, flight of the server, step that was under way
_PLACES: tuple[tuple[str, str, int, Place, str], ...] = (
    ("hello", "within the ServerHello", 1, tls.in_server_hello, "server_hello"),
    ("after-hello", "behind the ServerHello", 1, tls.after_server_hello, "server_certificate"),
    ("certificate", "within the server's Certificate", 1, tls.in_certificate, "server_certificate"),
    ("finished", "once the client has finished", 2, tls.nowhere, "finished"),
)


def _cut_cases() -> list[Case]:
    found = []
    for place, where, flight, offset, step in _PLACES:
        for cause, end in _ENDS:
            word = "silent" if cause == "timeout" else cause
            # the server's last word under TLS 1.3 is a ticket, which no client waits for
            unless = {"1.3": "mqtt/timeout"} if (place, cause) == ("finished", "timeout") else {}
            found.append(
                Case(
                    f"{word}-in-{place}".replace("in-after", "after").replace(
                        "in-finished", "at-end"
                    ),
                    f"{word} {where}",
                    f"tls.{step}/{cause}",
                    BOTH,
                    _shaped(tls.cut(flight, offset, end)),
                    unless,
                )
            )
    return found


def cases() -> list[Case]:
    """Faults below TLS, or where it breaks off."""
    return [
        *_tcp_cases(),
        *_cut_cases(),
        Case(
            "trickle", "one byte a packet, but steadily", "ready", BOTH, _shaped(tls.pieces(1, 0))
        ),
        Case(
            "slow-link",
            "the smallest packets of IPv4, ten a second",
            "ready",
            BOTH,
            _shaped(tls.pieces(_SMALLEST_SEGMENT, 0.1)),
        ),
        Case(
            "trickle-slow",
            "one byte every half second",
            "tls.server_hello/timeout",
            BOTH,
            _shaped(tls.pieces(1, 0.5)),
        ),
        Case(
            "record-damaged",
            "a bit of the server's Finished is flipped on the way",
            "tls.finished/bad_record",
            BOTH,
            _damaged,
        ),
    ]


def _damaged(bench: Bench, version: str) -> int:
    shape = tls.damage(1 if version == "1.3" else 2, tls.in_finished)
    return bench.tls(bench.context(version), Broker(), shape)
