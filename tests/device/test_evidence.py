"""The evidence that the code gives is all that its why and fix ask for: no "?" is left."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support import handshake, pace, pki, servers, smallbroker
from support.handshake import observe, server_context
from support.pki import LATER, LONG_AGO, NOW
from support.source import Source

from firmshake_agent import causes, identity, network, tls
from firmshake_agent.clock import Clock
from firmshake_agent.failure import Failure, verdict
from firmshake_agent.ladder import Climb
from firmshake_agent.observer import Observer
from firmshake_agent.runtime_cpython import Runtime


def explained(failure: Failure) -> str:
    """The verdict; its why and fix are whole."""
    name = verdict(failure.stage, failure.step, failure.cause)
    texts = causes.lookup(name)
    assert texts is not None, name
    for text in texts:
        filled = causes.fill(text, failure.evidence)
        assert "?" not in filled, (name, filled)
        assert "None" not in filled, (name, filled)
    return name


class Silent:
    """A report that keeps warnings only."""

    def warn(self, stage: str, cause: str, evidence: dict[str, object]) -> None:
        explained(Failure(stage, cause, evidence))

    def start(self, stage: str) -> None:
        pass

    def ok(self, stage: str, evidence: dict[str, object] | None = None) -> None:
        pass


# wifi, dns, tcp: a runtime that answers as boards do


class Board(Runtime):
    """CPython's runtime with a radio, a resolver and sockets of the test's making."""

    def __init__(self, **answers: Any) -> None:
        super().__init__()
        self.network_is_given = False
        self._answers = answers

    def needs_wifi(self) -> bool:
        return bool(self._answers.get("radio", True))

    def join(self, ssid: str, password: str | None, limit_ms: int) -> tuple[str, dict[str, object]]:
        return self._answers["joins"], {"status": 1}

    def resolve(self, host: str, port: int) -> list[tuple[str, Any]]:
        return self._do("resolves")

    def connect(self, target: Any, limit_ms: int) -> socket.socket:
        found: socket.socket = self._do("connects")
        return found

    def _do(self, name: str) -> Any:
        answer = self._answers[name]
        if isinstance(answer, OSError):
            raise answer
        return answer


def settled(**changes: object) -> identity.Identity:
    return identity.Identity(pki.settings(8883, **changes))


@pytest.mark.parametrize("cause", ["ap_not_found", "wrong_password", "no_address", "timeout"])
def test_wifi(cause: str) -> None:
    wanted = settled(wifi={"ssid": "a net"})
    with pytest.raises(Failure) as raised:
        network.join(Board(joins=cause), wanted)
    assert explained(raised.value) == f"wifi/{cause}"
    assert network.join(Board(joins=""), wanted)["ssid"] == "a net"


def test_wifi_without_a_radio() -> None:
    with pytest.raises(Failure) as raised:
        network.join(Board(radio=False), settled(wifi={"ssid": "a net"}))
    assert explained(raised.value) == "wifi/no_radio"
    assert network.join(Board(radio=False), settled()) == {"network": "given"}


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (OSError(-2, "Name or service not known"), "not_found"),
        (OSError(-3, "Temporary failure"), "timeout"),
        (OSError(errno.ETIMEDOUT), "timeout"),
        (OSError(), "not_found"),
        ([], "not_found"),
    ],
)
def test_dns(answer: object, cause: str) -> None:
    with pytest.raises(Failure) as raised:
        network.resolve(Board(resolves=answer), "broker.example", 8883)
    assert explained(raised.value) == f"dns/{cause}"


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.ECONNRESET, "refused"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.EINPROGRESS, "timeout"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.ENETUNREACH, "unreachable"),
        (errno.EADDRNOTAVAIL, "unreachable"),
        (99999, "unreachable"),
    ],
)
def test_tcp(number: int, cause: str) -> None:
    board = Board(connects=OSError(number, "no"))
    with pytest.raises(Failure) as raised:
        network.connect(board, settled(), [("192.0.2.1", None)], 1000)
    assert explained(raised.value) == f"tcp/{cause}"


def test_of_several_addresses_the_first_that_answers_is_taken() -> None:
    with servers.tcp(servers.hold) as port:
        runtime = Runtime()
        found = runtime.resolve("127.0.0.1", port)
        closed = runtime.resolve("127.0.0.1", servers.free_port())
        wrong = [("192.0.2.1", closed[0][1])]
        sock, address = network.connect(runtime, settled(), [*wrong, *found], pki.LIMIT_MS)
        sock.close()
    assert address == "127.0.0.1"


def test_several_addresses_that_drop_packets_share_the_time() -> None:
    class Dropping(Board):
        def __init__(self) -> None:
            super().__init__(connects=TimeoutError(errno.ETIMEDOUT, "no"))
            self.time = 0

        def ticks(self) -> int:
            return self.time

        def connect(self, target: Any, limit_ms: int) -> socket.socket:
            self.time += limit_ms if target else 0  # the address None refuses at once
            return super().connect(target, limit_ms)

    board = Dropping()
    addresses = [("192.0.2.1", None), *[(f"192.0.2.{n}", n) for n in range(2, 9)]]
    with pytest.raises(Failure) as raised:
        network.connect(board, settled(), addresses, 15000)
    assert explained(raised.value) == "tcp/timeout"
    assert raised.value.evidence["addr"] == "192.0.2.8", "each was tried"
    assert raised.value.evidence["limit_ms"] == 15000
    assert 14900 <= board.time <= 15000


# tls: every cause, from handshakes that were cut at each place


def mutual(version: str) -> tuple[handshake.Piece, ...]:
    fleet = handshake.fleet()
    server = server_context(version, clients=fleet)
    return handshake.shake(server, handshake.client_context(shows=fleet)).pieces


def carried() -> identity.Identity:
    return identity.load(Runtime(), Source(pki.settings(8883)))


def tls_failure(seen: Observer, words: tuple[str, ...], chain: dict[int, bytes]) -> Failure:
    failed = tls.failure(
        Runtime(), carried(), Clock("rtc", True), seen, words, chain, 1500, OSError(-30592, "x")
    )
    # what the ladder adds
    failed.evidence.update({"host": "h", "port": 8883, "device": pki.DEVICE})
    return failed


def shown() -> dict[int, bytes]:
    broker = handshake.fleet().broker
    chain = [broker.certificate, *broker.chain]
    return {depth: each.public_bytes(Encoding.DER) for depth, each in enumerate(chain)}


WORDS = [
    "no_ca unknown_ca self_signed weak_key wrong_usage hostname_mismatch not_yet_valid expired",
    "memory alert version malformed not_tls bad_record timeout reset eof",
    " ".join(f"alert:{number}" for number in range(121)),
]


@pytest.mark.parametrize("chain", [{}, shown()], ids=["nothing-shown", "shown"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls(version: str, chain: dict[int, bytes]) -> None:
    pieces = mutual(version)
    named = set()
    for count in range(len(pieces) + 1):
        for word in " ".join(WORDS).split():
            seen = observe(pieces[:count], keep_certificate=not chain)
            named.add(explained(tls_failure(seen, (word,), chain)))
    assert len(named) > 30


@pytest.mark.parametrize("data", [b"HTTP/1.1 400", b"\x20\x02\0\x05", b"SSH-2.0", b"\0"])
def test_tls_where_something_else_answers(data: bytes) -> None:
    failed = tls_failure(observe((*mutual("1.2")[:1], (True, data))), ("not_tls",), {})
    assert explained(failed).startswith("tls.client_hello/not_tls")


# the whole road, against real servers


class Brief(Climb):
    """A climb that waits for its verdict no longer than it has to."""

    def __init__(self, source: Source, verdict: str) -> None:
        super().__init__(Runtime(), Silent(), source)
        self._brief, self._limit_ms = pace.brief(verdict)

    def _begin(self, stage: str) -> None:
        super()._begin(stage)
        if stage == self._brief:
            self.identity.limit_ms = self._limit_ms


def climbed(port: int, verdict: str = "", **changes: object) -> Failure:
    """How a climb on CPython ended, `verdict` as it should."""
    climb = Brief(Source(pki.settings(port, **changes), handshake.fleet().files()), verdict)
    try:
        with pytest.raises(Failure) as raised:
            climb.up()
    finally:
        climb.close()
    return raised.value


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("fault", ["expired", "not_yet_valid", "unknown_ca", "hostname_mismatch"])
def test_a_refused_server_is_described_also_where_its_certificate_is_encrypted(
    version: str, fault: str
) -> None:
    fleet = handshake.fleet()
    valid = {"expired": LONG_AGO, "not_yet_valid": LATER}.get(fault)
    broker = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, valid=valid)
    if fault == "unknown_ca":
        broker = pki.fleet("other").broker
    name = {"server_name": "other.example"} if fault == "hostname_mismatch" else {}
    made = server_context(version, pem=broker.key_pem() + broker.chain_pem())
    with servers.tls(made, servers.hold) as port:
        failed = climbed(port, **name)
    assert explained(failed) == f"tls.server_certificate/{fault}"
    assert failed.evidence["subject"] == "127.0.0.1"
    wanted = "other root CA" if fault == "unknown_ca" else "test root CA"
    assert wanted in str(failed.evidence["issuer"])


@pytest.mark.parametrize(
    ("handle", "cause"),
    [
        *(
            (servers.answer(b"\x20\x02\x00" + bytes([code])), cause)
            for code, cause in [
                (1, "protocol_version"),
                (2, "client_id"),
                (3, "server_unavailable"),
                (4, "bad_credentials"),
                (5, "not_authorized"),
                (6, "refused"),
                (255, "refused"),
            ]
        ),
        (servers.hang_up, "closed"),
        (servers.hold, "timeout"),
        (servers.answer(b"HTTP/1.1 400\r\n\r\n"), "not_mqtt"),
        (servers.answer(b"\0"), "not_mqtt"),
        (servers.answer(b"\x20\x03\x00\x84\x00"), "protocol_version"),  # MQTT 5 only
        (servers.answer(b"\x20\x03\x00\x00\x00"), "not_mqtt"),
    ],
)
def test_mqtt(handle: servers.Handler, cause: str) -> None:
    with servers.tls(server_context("1.2", clients=handshake.fleet()), handle) as port:
        failed = climbed(port, f"mqtt/{cause}")
    assert explained(failed) == f"mqtt/{cause}"


def close_after(count: int) -> servers.Handler:
    """A broker that closes at its packet of that number."""

    class EnoughError(OSError):
        pass

    packets: list[int] = []

    def heard(kind: int) -> None:
        packets.append(kind)
        if len(packets) == count:
            raise EnoughError

    return smallbroker.broker(heard=heard)


@pytest.mark.parametrize(
    ("handle", "cause"),
    [
        (lambda: servers.answer(smallbroker.CONNACK, b"\x90\x03\x00\x01\x80"), "denied"),
        (lambda: smallbroker.broker(silent=2), "no_echo"),
        (lambda: smallbroker.broker(silent=1), "timeout"),
        (lambda: close_after(2), "closed"),
        (lambda: close_after(3), "closed"),
    ],
)
def test_subscribe(handle: Callable[[], servers.Handler], cause: str) -> None:
    with servers.tls(server_context("1.2", clients=handshake.fleet()), handle()) as port:
        failed = climbed(port, f"subscribe/{cause}")
    assert explained(failed) == f"subscribe/{cause}"
