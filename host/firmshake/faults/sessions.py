"""The faults above TLS: WebSocket, CONNECT, SUBSCRIBE and the session itself."""

from __future__ import annotations

from collections.abc import Callable

from firmshake.faults import mqtt, websocket
from firmshake.faults.bench import Bench
from firmshake.faults.case import BOTH, MOSQUITTO, Case, Serve
from firmshake.faults.mqtt import CONNECT, PINGREQ, PUBLISH, SUBSCRIBE, Broker
from firmshake.faults.tls import Stream

_WSS: dict[str, object] = {"transport": "wss", "path": "/mqtt"}
_SOON: dict[str, object] = {"keepalive": 2}

# return codes (MQTT 3.1.1, 3.2.2.3), then reason codes (MQTT 5.0, 3.2.2.2)
CODES: tuple[tuple[int, str, str], ...] = (
    (0x01, "unacceptable protocol version", "protocol_version"),
    (0x02, "identifier rejected", "client_id"),
    (0x03, "server unavailable", "server_unavailable"),
    (0x04, "bad user name or password", "bad_credentials"),
    (0x05, "not authorized", "not_authorized"),
    (0x80, "unspecified error", "refused"),
    (0x81, "malformed packet", "refused"),
    (0x82, "protocol error", "refused"),
    (0x83, "implementation specific error", "refused"),
    (0x84, "unsupported protocol version", "protocol_version"),
    (0x85, "client identifier not valid", "client_id"),
    (0x86, "bad user name or password", "bad_credentials"),
    (0x87, "not authorized", "not_authorized"),
    (0x88, "server unavailable", "server_unavailable"),
    (0x89, "server busy", "server_unavailable"),
    (0x8A, "banned", "banned"),
    (0x8C, "bad authentication method", "refused"),
    (0x90, "topic name invalid", "refused"),
    (0x95, "packet too large", "refused"),
    (0x97, "quota exceeded", "quota"),
    (0x99, "payload format invalid", "refused"),
    (0x9A, "retain not supported", "refused"),
    (0x9B, "QoS not supported", "refused"),
    (0x9C, "use another server", "refused"),
    (0x9D, "server moved", "refused"),
    (0x9F, "connection rate exceeded", "quota"),
)


def _tls(then: Callable[[Stream], None]) -> Serve:
    return lambda bench, version: bench.tls(bench.context(version), then)


def _mqtt_cases() -> list[Case]:
    codes = [
        Case(
            f"connack-{code:02x}",
            f"CONNACK {code:#04x}, {meaning}",
            f"mqtt/{cause}",
            BOTH,
            _tls(Broker(code=code)),
        )
        for code, meaning, cause in CODES
    ]
    probes = [
        Case(
            f"only-mqtt5-{code:02x}",
            f"closes at a CONNECT of MQTT 3.1.1, and says {code:#04x}, {meaning}, to one of MQTT 5",
            f"mqtt/{cause}",
            BOTH,
            _tls(Broker(code=code, only_to_5=True)),
        )
        for code, meaning, cause in CODES
        if code in (0x84, 0x87, 0x8A, 0x97, 0x9F)
    ]
    http = mqtt.saying(websocket.status(b"400 Bad Request"))
    return [
        *codes,
        *probes,
        Case(
            "connect-closed", "closed instead of a CONNACK", "mqtt/closed", BOTH, _tls(mqtt.hang_up)
        ),
        Case("connack-missing", "no CONNACK", "mqtt/timeout", BOTH, _tls(mqtt.keep_silent)),
        Case("https", "a web server behind TLS", "mqtt/not_mqtt", BOTH, _tls(http)),
        Case(
            "session-present",
            "CONNACK with an old session: nothing is wrong",
            "ready",
            BOTH,
            _tls(Broker(session_present=True)),
        ),
        Case(
            "mosquitto-wants-a-name",
            "mosquitto does not take the name from the certificate",
            "mqtt/not_authorized",
            BOTH,
            _by_mosquitto(lines=("use_identity_as_username false",)),
            needs=MOSQUITTO,
        ),
    ]


def _by_mosquitto(**how: object) -> Serve:
    return lambda bench, version: bench.mosquitto(version, **how)  # type: ignore[arg-type]


def _subscribe_cases() -> list[Case]:
    rows = (
        ("suback-denied", "SUBACK 0x80", "denied", Broker(granted=0x80)),
        (
            "suback-denied-87",
            "SUBACK 0x87, not authorized, of MQTT 5",
            "denied",
            Broker(granted=0x87),
        ),
        ("suback-missing", "no SUBACK", "timeout", Broker(silent_at=SUBSCRIBE)),
        ("suback-babble", "no MQTT instead of SUBACK", "not_mqtt", Broker(babbles_at=SUBSCRIBE)),
        ("no-echo", "what is published never comes back", "no_echo", Broker(echo=False)),
        ("closed-at-subscribe", "closed at SUBSCRIBE", "closed", Broker(closes_at=SUBSCRIBE)),
        ("closed-at-publish", "closed at PUBLISH", "closed", Broker(closes_at=PUBLISH)),
        ("closed-after-connack", "closed behind the CONNACK", "closed", _closing_after_connack),
    )
    return [
        Case(name, what, f"subscribe/{cause}", BOTH, _tls(then)) for name, what, cause, then in rows
    ] + [
        Case(
            "acl",
            "mosquitto's rules leave the client's own topics out, and it does not say so",
            "subscribe/no_echo",
            BOTH,
            _by_mosquitto(acl="pattern readwrite elsewhere/%c/#\n"),
            needs=MOSQUITTO,
        )
    ]


def _closing_after_connack(stream: Stream) -> None:
    if mqtt.read_packet(stream)[:1] == bytes([CONNECT << 4]):
        stream.sendall(b"\x20\x02\x00\x00")


def _ready_cases() -> list[Case]:
    return [
        Case(
            "puback-missing",
            "no PUBACK: a client that publishes by QoS 0 does not notice",
            "ready",
            BOTH,
            _tls(Broker(acknowledges=False)),
        ),
        Case(
            "pingresp-missing",
            "no PINGRESP",
            "ready/keepalive_timeout",
            BOTH,
            _tls(Broker(silent_at=PINGREQ)),
            settings=_SOON,
            holds=True,
        ),
        Case(
            "babble-at-ping",
            "no MQTT instead of PINGRESP",
            "ready/not_mqtt",
            BOTH,
            _tls(Broker(babbles_at=PINGREQ)),
            settings=_SOON,
            holds=True,
        ),
        Case(
            "closed-at-ping",
            "closed at the first ping",
            "ready/closed",
            BOTH,
            _tls(Broker(closes_at=PINGREQ)),
            settings=_SOON,
            holds=True,
        ),
    ]


def _websocket_cases() -> list[Case]:
    rows: tuple[tuple[str, str, str, Callable[[Stream], None]], ...] = (
        ("ws-good", "MQTT over WebSocket", "ready", websocket.upgrade(Broker())),
        ("ws-403", "HTTP status 403", "http_status", _http(b"403 Forbidden")),
        ("ws-404", "HTTP status 404", "http_status", _http(b"404 Not Found")),
        ("ws-200", "a web page instead of the Upgrade", "http_status", _http(b"200 OK")),
        ("ws-503", "HTTP status 503", "http_status", _http(b"503 Service Unavailable")),
        (
            "ws-bad-accept",
            "a wrong Sec-WebSocket-Accept",
            "bad_upgrade",
            websocket.upgrade(Broker(), honest=False),
        ),
        (
            "ws-not-http",
            "an answer that is not HTTP",
            "bad_upgrade",
            websocket.answer(b"\x20\x02\x00\x00\r\n\r\n"),
        ),
        (
            "ws-subprotocol",
            "another subprotocol than mqtt",
            "subprotocol",
            websocket.upgrade(Broker(), protocol=b"chat"),
        ),
        ("ws-closed", "closed at the request", "closed", websocket.answer(b"")),
        ("ws-silent", "no answer to the request", "timeout", mqtt.keep_silent),
    )
    return [
        Case(
            name,
            what,
            cause if cause == "ready" else f"websocket/{cause}",
            BOTH,
            _tls(then),
            settings=_WSS,
        )
        for name, what, cause, then in rows
    ]


def _http(line: bytes) -> Callable[[Stream], None]:
    return websocket.answer(websocket.status(line))


def _good(bench: Bench, version: str) -> int:
    return bench.mosquitto(version)


def cases() -> list[Case]:
    """Faults of the stages websocket, mqtt, subscribe and ready; and a broker without a fault."""
    return [
        Case("good", "nothing is wrong: the control, by OpenSSL", "ready", BOTH, _tls(Broker())),
        Case(
            "good-mosquitto", "nothing is wrong: mosquitto", "ready", BOTH, _good, needs=MOSQUITTO
        ),
        *_websocket_cases(),
        *_mqtt_cases(),
        *_subscribe_cases(),
        *_ready_cases(),
    ]
