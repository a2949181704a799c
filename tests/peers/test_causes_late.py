"""The stages behind TLS that need more than one try: WebSocket, MQTT 5's reasons, ALPN, SNI."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from support import pace, pki, servers
from support.broker import mosquitto
from support.pki import Fleet

from firmshake import climb

RUNTIMES = pytest.mark.parametrize("runtime", climb.RUNTIMES)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return pki.fleet()


def clients(fleet: Fleet) -> bytes:
    return fleet.device.anchors_pem()


@RUNTIMES
def test_ready_through_a_websocket(fleet: Fleet, tmp_path: Path, runtime: str) -> None:
    extra = "protocol websockets"
    with mosquitto(tmp_path, fleet.broker, clients(fleet), extra=extra) as port:
        settings = pki.settings(port, transport="wss")
        verdict = climb.run(settings, fleet.files(), runtime=runtime)
    assert verdict.verdict == "ready"
    assert "websocket" in [stage.name for stage in verdict.stages]


def upgraded(head: str, accept: bool = True) -> servers.Handler:
    """Answer the request with this head; `%s` is the right Sec-WebSocket-Accept."""

    def handle(connection: servers.socket.socket) -> None:
        request = connection.recv(4096)
        key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        right = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest()).decode()
        connection.sendall(head.replace("%s", right if accept else "wrong").encode())
        servers.hold(connection)

    return handle


SWITCH = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n"


@RUNTIMES
@pytest.mark.parametrize(
    ("handle", "cause"),
    [
        (servers.answer(b"HTTP/1.1 404 Not Found\r\n\r\n"), "http_status"),
        (servers.answer(b"HTTP/1.1 403 Forbidden\n\n"), "http_status"),
        (servers.answer(b"HTTP/1.1 403 Forbidden\nServer: x\n\r\n"), "http_status"),
        (servers.answer(b"\x20\x02\x00\x00"), "bad_upgrade"),
        (servers.answer(b"HTTP\r\n\r\n"), "bad_upgrade"),
        (upgraded(SWITCH + "Sec-WebSocket-Protocol: mqtt\r\n\r\n", accept=False), "bad_upgrade"),
        (upgraded(SWITCH + "Sec-WebSocket-Protocol: chat\r\n\r\n"), "subprotocol"),
        (upgraded(SWITCH + "\r\n"), "subprotocol"),
        (servers.hang_up, "closed"),
        (servers.hold, "timeout"),
    ],
    ids=[
        *("404", "403 without CR", "403 with one CR", "no http", "no version", "accept"),
        *("subprotocol", "no subprotocol", "closed", "silent"),
    ],
)
def test_an_upgrade_that_fails(
    fleet: Fleet, tmp_path: Path, runtime: str, handle: servers.Handler, cause: str
) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    expected = f"websocket/{cause}"
    within = pace.within(pace.waiting(expected, pki.LIMIT_MS))
    with servers.tls(made, handle) as port:
        settings = pki.settings(port, transport="wss")
        verdict = climb.run(settings, fleet.files(), runtime=runtime, within=within)
    assert verdict.verdict == expected


def by_version(answer3: bytes, answer5: bytes) -> servers.Handler:
    """Answer a CONNECT of MQTT 3.1.1 and one of MQTT 5 differently; b"" closes."""

    def handle(connection: servers.socket.socket) -> None:
        connect = b""
        while len(connect) < 9:
            if not (data := connection.recv(4096)):
                return
            connect += data
        answer = answer5 if connect[8] == 5 else answer3
        if answer:
            connection.sendall(answer)
            servers.hold(connection)

    return handle


@pytest.mark.parametrize(
    ("answer3", "code", "verdict"),
    [
        (b"", 0x84, "mqtt/protocol_version"),
        (b"", 0x85, "mqtt/client_id"),
        (b"", 0x8A, "mqtt/banned"),
        (b"\x20\x02\x00\x03", 0x97, "mqtt/quota"),
        (b"\x20\x02\x00\x03", 0x9F, "mqtt/quota"),
        (b"\x20\x02\x00\x05", 0x8A, "mqtt/banned"),
        (b"\x20\x02\x00\x05", 0x87, "mqtt/not_authorized"),
        (b"\x20\x02\x00\x05", 0x99, "mqtt/refused"),
        (b"", 0x00, "mqtt/closed"),
    ],
)
def test_mqtt_5_says_what_3_left_open(
    fleet: Fleet, tmp_path: Path, answer3: bytes, code: int, verdict: str
) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    answer5 = b"\x20\x03\x00" + bytes([code]) + b"\x00"
    with servers.tls(made, by_version(answer3, answer5)) as port:
        found = climb.run(pki.settings(port), fleet.files())
    assert found.verdict == verdict
    assert found.evidence["mqtt5"] == str(code)


@pytest.mark.parametrize("extra", [{"alpn": "mqtt"}, {"sni": "other.example.com"}])
def test_what_micropython_cannot_set_is_a_wrong_setting(
    fleet: Fleet, extra: dict[str, object]
) -> None:
    verdict = climb.run(pki.settings(1, **extra), fleet.files())
    assert verdict.verdict == "identity/config_invalid"
    assert next(iter(extra)) in verdict.why


def test_another_sni_changes_nothing_in_what_is_verified(fleet: Fleet, tmp_path: Path) -> None:
    with mosquitto(tmp_path, fleet.broker, clients(fleet)) as port:
        good = climb.run(pki.settings(port, sni="x.example"), fleet.files(), runtime="cpython")
        settings = pki.settings(port, sni="127.0.0.1", server_name="y.example")
        bad = climb.run(settings, fleet.files(), runtime="cpython")
    assert good.verdict == "ready"
    assert bad.verdict == "tls.server_certificate/hostname_mismatch"


def test_a_server_without_our_alpn(fleet: Fleet, tmp_path: Path) -> None:
    from support import alpn

    with alpn.refusing_server() as port:
        verdict = climb.run(pki.settings(port, alpn="mqtt"), fleet.files(), runtime="cpython")
    assert verdict.verdict == "tls.server_hello/alpn_rejected"
