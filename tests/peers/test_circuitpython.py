"""The agent on CircuitPython's shape names each cause: its TLS has one number and no dates.

The control is `test_nothing_broken`. What CircuitPython does is in firmshake.virtual.circuitpython;
the servers are the same as in test_causes.py. Boards speak TLS 1.2.
"""

from __future__ import annotations

import ssl
import warnings
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from support import circuitpython, pace, pki, servers
from support.broker import mosquitto
from support.pki import ALWAYS, DEVICE, LATER, LONG_AGO, NOW, Fleet
from support.smallbroker import broker as small_broker

from firmshake.ca import authority
from firmshake.ca.identity import Identity
from firmshake.event import Event
from firmshake.verdict import Verdict
from firmshake.virtual.circuitpython import wifi

CONNACK = b"\x20\x02\x00\x00"
SUBACK_OF_FIRST = b"\x90\x03\x00\x01\x00"


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return pki.fleet()


def clients(fleet: Fleet) -> bytes:
    """What a broker checks the fleet's boards by."""
    return fleet.device.anchors_pem()


def go(
    fleet: Fleet,
    port: int,
    files: dict[str, bytes] | None = None,
    *,
    has_time: bool = True,
    **changes: object,
) -> Verdict:
    """One climb of the shape."""
    settings = pki.settings(port, **changes)
    return circuitpython.run(settings, files or fleet.files(), has_time=has_time)


def go_for(fleet: Fleet, port: int, verdict: str) -> Verdict:
    """One climb of the shape; where that verdict is known by waiting, it comes soon."""
    before = pace.waiting(verdict, pki.LIMIT_MS)
    return circuitpython.run(pki.settings(port), fleet.files(), before=before)


def go_to(fleet: Fleet, folder: Path, broker: Identity, **changes: object) -> Verdict:
    """One climb to a mosquitto with this certificate."""
    with mosquitto(folder, broker, clients(fleet)) as port:
        return go(fleet, port, **changes)  # type: ignore[arg-type]


def test_nothing_broken(fleet: Fleet, tmp_path: Path) -> None:
    verdict = go_to(fleet, tmp_path, fleet.broker)
    assert verdict.verdict == "ready"
    names = ["identity", "wifi", "clock", "dns", "tcp", "tls", "mqtt", "subscribe", "ready"]
    assert [stage.name for stage in verdict.stages] == names


def test_a_clock_of_2000_becomes_the_time_servers(fleet: Fleet, tmp_path: Path) -> None:
    events: list[Event] = []
    with mosquitto(tmp_path, fleet.broker, clients(fleet)) as port:
        circuitpython.run(pki.settings(port), fleet.files(), on_event=events.append)
    clock = next(each.fields for each in events if (each.stage, each.state) == ("clock", "ok"))
    assert clock["clock"] == "ntp"
    assert clock["now"].startswith(f"{NOW:%Y-%m-%d}") or NOW.hour == 23


def test_without_a_time_server_the_floor_is_the_time(fleet: Fleet, tmp_path: Path) -> None:
    assert go_to(fleet, tmp_path, fleet.broker, has_time=False).verdict == "ready"


def test_neither_time_server_nor_floor(fleet: Fleet) -> None:
    assert go(fleet, 1, has_time=False, floor=0).verdict == "clock/not_set"


# identity


@pytest.mark.parametrize("name", ["ca", "key", "cert"])
def test_a_missing_file_is_named(fleet: Fleet, name: str) -> None:
    files = fleet.files()
    del files[f"{name}.der"]
    verdict = go(fleet, 1, files)
    assert verdict.verdict == "identity/file_missing"
    assert verdict.evidence["file"] == f"{name}.pem"


@pytest.mark.parametrize(
    ("name", "cause"), [("key", "bad_key"), ("cert", "bad_certificate"), ("ca", "bad_ca")]
)
@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"]
)
def test_a_file_that_is_none(fleet: Fleet, name: str, cause: str, junk: bytes) -> None:
    verdict = go(fleet, 1, {**fleet.files(), f"{name}.der": junk})
    assert verdict.verdict == f"identity/{cause}"


def test_a_key_that_only_the_firmware_can_refuse(fleet: Fleet) -> None:
    pem = b"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n"
    # a PKCS#8 key without its public half, of a curve that is none
    broken = pem % b"MBoCAQAwDAYHKoZIzj0CAQYBKQQHMAUCAQEEAA=="
    assert go(fleet, 1, {**fleet.files(), "key.der": broken}).verdict == "identity/bad_key"


def test_an_encrypted_key(fleet: Fleet) -> None:
    encrypted = pki.encrypted(fleet.device)
    verdict = go(fleet, 1, {**fleet.files(), "key.der": encrypted})
    assert verdict.verdict == "identity/encrypted_key"


def test_key_of_another_board(fleet: Fleet) -> None:
    other = fleet.authority.issue("other", now=NOW)
    verdict = go(fleet, 1, {**fleet.files(), "key.der": other.key_der()})
    assert verdict.verdict == "identity/key_mismatch"


def test_own_certificate_expired(fleet: Fleet) -> None:
    device = fleet.authority.issue(DEVICE, now=NOW, valid=LONG_AGO)
    assert go(fleet, 1, fleet.files(device)).verdict == "identity/expired"


# wifi


@pytest.mark.parametrize(
    ("ssid", "password", "verdict"),
    [
        ("nowhere", wifi.PASSWORD, "wifi/ap_not_found"),
        (wifi.SSID, "wrong password", "wifi/wrong_password"),
        (wifi.SSID, "short", "wifi/wrong_password"),
        (wifi.SSID, wifi.PASSWORD, "tcp/refused"),
    ],
)
def test_the_radios_texts(fleet: Fleet, ssid: str, password: str, verdict: str) -> None:
    network = {"ssid": ssid, "password": password}
    assert go(fleet, servers.free_port(), wifi=network).verdict == verdict


# dns and tcp


def test_a_name_that_does_not_resolve(fleet: Fleet) -> None:
    # RFC 6761: no resolver may know it
    verdict = go(fleet, 8883, host="broker.invalid")
    assert verdict.stage == "dns"


def test_packets_are_dropped(fleet: Fleet) -> None:
    with servers.full_port() as port:
        assert go_for(fleet, port, "tcp/timeout").verdict == "tcp/timeout"


def test_reset_at_once(fleet: Fleet) -> None:
    with servers.tcp(servers.reset) as port:
        verdict = circuitpython.run(pki.settings(port), fleet.files(), before=pace.SETTLING)
    assert verdict.verdict == "tcp/reset"


# tls.client_hello


def test_plain_http(fleet: Fleet) -> None:
    with servers.tcp(servers.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert go(fleet, port).verdict == "tls.client_hello/not_tls_http"


def test_plain_mqtt(fleet: Fleet, tmp_path: Path) -> None:
    with mosquitto(tmp_path, None) as port:
        assert go(fleet, port).verdict == "tls.client_hello/not_tls_mqtt"


def test_a_server_that_speaks_first(fleet: Fleet) -> None:
    def speak(connection: servers.socket.socket) -> None:
        connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
        servers.hold(connection)

    with servers.tcp(speak) as port:
        verdict = go(fleet, port)
    assert verdict.verdict == "tls.client_hello/not_tls"
    assert verdict.evidence["first_bytes"].startswith("5353482d"), "no byte is lost by looking"


@pytest.mark.parametrize(
    ("handle", "cause"),
    [
        (servers.hang_up, "closed"),
        (servers.reset_after_hello, "reset"),
        (servers.hold, "timeout"),
    ],
)
def test_no_answer_to_the_hello(fleet: Fleet, handle: servers.Handler, cause: str) -> None:
    verdict = f"tls.client_hello/{cause}"
    with servers.tcp(handle) as port:
        assert go_for(fleet, port, verdict).verdict == verdict


# tls.server_hello


def test_a_server_of_tls_1_1(fleet: Fleet, tmp_path: Path) -> None:
    old = servers.context(fleet.broker, tmp_path)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old is what is wanted here
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with servers.tls(old, servers.hold) as port:
        assert go(fleet, port).verdict == "tls.server_hello/protocol_version"


def test_a_server_of_tls_1_3_only(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path, version="1.3")
    with servers.tls(made, servers.hold) as port:
        assert go(fleet, port).verdict == "tls.server_hello/protocol_version"


def test_no_cipher_in_common(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path)
    made.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with servers.tls(made, servers.hold) as port:
        assert go(fleet, port).verdict == "tls.server_hello/no_shared_cipher"


# tls.server_certificate: dates, which the firmware does not look at


@pytest.mark.parametrize(("valid", "cause"), [(LONG_AGO, "expired"), (LATER, "not_yet_valid")])
def test_broker_certificate_outside_its_dates(
    fleet: Fleet, tmp_path: Path, valid: tuple[datetime, datetime], cause: str
) -> None:
    broker = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, valid=valid)
    verdict = go_to(fleet, tmp_path, broker)
    assert verdict.verdict == f"tls.server_certificate/{cause}"
    day = valid[1] if cause == "expired" else valid[0]
    assert f"{day:%Y-%m-%d}" in verdict.why


@pytest.mark.parametrize("asks", [True, False])
def test_nothing_is_said_to_a_broker_whose_certificate_expired(
    fleet: Fleet, tmp_path: Path, asks: bool
) -> None:
    """The handshake succeeds, and all else is right: it is the agent that does not go on."""
    heard: list[int] = []
    broker = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, valid=LONG_AGO)
    made = servers.context(broker, tmp_path, clients=clients(fleet) if asks else None)
    with servers.tls(made, small_broker(heard=heard.append)) as port:
        assert go(fleet, port).verdict == "tls.server_certificate/expired"
    assert heard == []


def test_a_clock_that_nobody_confirmed(fleet: Fleet, tmp_path: Path) -> None:
    broker = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, valid=LATER)
    verdict = go_to(fleet, tmp_path, broker, has_time=False)
    assert verdict.verdict == "tls.server_certificate/clock_wrong"


def test_an_intermediate_that_expired(tmp_path: Path) -> None:
    root, issuing = authority.create("test", now=NOW - timedelta(days=3000))
    broker = issuing.issue_broker(["127.0.0.1"], now=NOW)
    fleet = Fleet(issuing, issuing.issue(DEVICE, now=NOW), broker)
    assert go_to(fleet, tmp_path, broker).verdict == "ready"
    old = redated(issuing.certificate, root.key, LONG_AGO)
    verdict = go_to(fleet, tmp_path, replace(broker, chain=(old,)))
    assert verdict.verdict == "tls.server_certificate/expired"
    assert f"{LONG_AGO[1]:%Y-%m-%d}" in verdict.why, "the date that counts is not the leaf's"


def redated(
    made: x509.Certificate, signer: ec.EllipticCurvePrivateKey, valid: tuple[datetime, datetime]
) -> x509.Certificate:
    """The same certificate with other dates."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(made.subject)
        .issuer_name(made.issuer)
        .public_key(made.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )
    for extension in made.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(signer, hashes.SHA256())


@pytest.mark.parametrize(("valid", "verdict"), [(None, "ready"), (LONG_AGO, "expired")])
def test_a_certificate_of_a_thousand_names(
    fleet: Fleet, tmp_path: Path, valid: tuple[datetime, datetime] | None, verdict: str
) -> None:
    """It is larger than what the board keeps of it, and its dates count all the same."""
    names = ["127.0.0.1", *(f"host-{number}.example.com" for number in range(600))]
    broker = fleet.authority.issue_broker(names, now=NOW, valid=valid)
    found = go_to(fleet, tmp_path, broker).verdict
    assert found in (verdict, f"tls.server_certificate/{verdict}")


# tls.server_certificate: one number for every refusal


def test_broker_of_another_ca(fleet: Fleet, tmp_path: Path) -> None:
    verdict = go_to(fleet, tmp_path, pki.fleet("other").broker)
    assert verdict.verdict == "tls.server_certificate/unknown_ca"
    assert "other root CA" in verdict.why
    assert "test root CA" in verdict.why


def test_broker_of_another_ca_whose_certificate_expired(fleet: Fleet, tmp_path: Path) -> None:
    other = pki.fleet("other").authority
    broker = other.issue_broker(["127.0.0.1"], now=NOW, valid=LONG_AGO)
    assert go_to(fleet, tmp_path, broker).verdict == "tls.server_certificate/unknown_ca"


def test_broker_of_another_ca_and_another_name(fleet: Fleet, tmp_path: Path) -> None:
    verdict = go_to(fleet, tmp_path, pki.fleet("other").broker, server_name="broker.example.com")
    assert verdict.verdict == "tls.server_certificate/unknown_ca"


def test_broker_that_signed_itself(fleet: Fleet, tmp_path: Path) -> None:
    verdict = go_to(fleet, tmp_path, pki.self_signed("127.0.0.1"))
    assert verdict.verdict == "tls.server_certificate/self_signed"


def test_broker_without_its_intermediate(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path, chain=False)
    with servers.tls(made, servers.hold) as port:
        assert go(fleet, port).verdict == "tls.server_certificate/incomplete_chain"


@pytest.mark.parametrize("wanted", ["broker.example.com", "127.0.0.2"])
def test_broker_of_another_name(fleet: Fleet, tmp_path: Path, wanted: str) -> None:
    verdict = go_to(fleet, tmp_path, fleet.broker, server_name=wanted)
    assert verdict.verdict == "tls.server_certificate/hostname_mismatch"
    assert wanted in verdict.why
    assert "localhost" in verdict.why


def test_broker_with_a_client_certificate(fleet: Fleet, tmp_path: Path) -> None:
    verdict = go_to(fleet, tmp_path, pki.for_clients_only(fleet.authority))
    assert verdict.verdict == "tls.server_certificate/wrong_usage"


def test_broker_with_a_weak_key(fleet: Fleet, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    weak = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, key=key)  # type: ignore[arg-type]
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("ALL:@SECLEVEL=0")
    (tmp_path / "weak.pem").write_bytes(weak.key_pem() + weak.chain_pem())
    made.load_cert_chain(tmp_path / "weak.pem")
    with servers.tls(made, servers.hold) as port:
        assert go(fleet, port).verdict == "tls.server_certificate/weak_key"


# tls.client_certificate


def test_board_without_a_certificate(fleet: Fleet, tmp_path: Path) -> None:
    with mosquitto(tmp_path, fleet.broker, clients(fleet)) as port:
        verdict = go(fleet, port, {"ca.der": fleet.files()["ca.der"]})
    assert verdict.verdict == "tls.client_certificate/missing"


def test_board_of_another_ca(fleet: Fleet, tmp_path: Path) -> None:
    stranger = pki.fleet("stranger").device
    files = {**fleet.files(stranger), "ca.der": fleet.files()["ca.der"]}
    with mosquitto(tmp_path, fleet.broker, clients(fleet)) as port:
        verdict = go(fleet, port, files)
    assert verdict.verdict == "tls.client_certificate/unknown_ca"


def test_board_whose_certificate_expired_unnoticed(fleet: Fleet, tmp_path: Path) -> None:
    """The board believes the floor, where its certificate was still valid; the broker does not."""
    then = NOW - timedelta(days=350)
    device = fleet.authority.issue(DEVICE, now=NOW, valid=LONG_AGO)
    broker = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, valid=ALWAYS)
    with mosquitto(tmp_path, broker, clients(fleet)) as port:
        floor = int(then.timestamp())
        verdict = go(fleet, port, fleet.files(device), has_time=False, floor=floor)
    assert verdict.verdict == "tls.client_certificate/expired"


def test_what_the_board_should_have_refused_comes_before_what_the_broker_refuses(
    fleet: Fleet, tmp_path: Path
) -> None:
    broker = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, valid=LONG_AGO)
    with mosquitto(tmp_path, broker, clients(fleet)) as port:
        verdict = go(fleet, port, {"ca.der": fleet.files()["ca.der"]})
    assert verdict.verdict == "tls.server_certificate/expired"


# memory


def test_out_of_memory_is_no_certificates_fault(fleet: Fleet) -> None:
    arguments = ("--short-of-memory",)
    verdict = circuitpython.run(pki.settings(1), fleet.files(), arguments=arguments)
    assert verdict.cause == "out_of_memory"


# mqtt and subscribe


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (1, "protocol_version"),
        (2, "client_id"),
        (3, "server_unavailable"),
        (4, "bad_credentials"),
        (5, "not_authorized"),
    ],
)
def test_connack_codes(fleet: Fleet, tmp_path: Path, code: int, cause: str) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    with servers.tls(made, servers.answer(b"\x20\x02\x00" + bytes([code]))) as port:
        assert go(fleet, port).verdict == f"mqtt/{cause}"


def test_broker_that_closes_at_connect(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    with servers.tls(made, servers.hang_up) as port:
        assert go(fleet, port).verdict == "mqtt/closed"


def test_broker_that_keeps_silent(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    with servers.tls(made, servers.hold) as port:
        assert go_for(fleet, port, "mqtt/timeout").verdict == "mqtt/timeout"


def test_a_suback_that_denies(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    with servers.tls(made, servers.answer(CONNACK, b"\x90\x03\x00\x01\x80")) as port:
        assert go(fleet, port).verdict == "subscribe/denied"


def test_no_echo(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    with servers.tls(made, servers.answer(CONNACK, SUBACK_OF_FIRST)) as port:
        assert go_for(fleet, port, "subscribe/no_echo").verdict == "subscribe/no_echo"


# websocket, whose digest has another name there


def test_ready_through_a_websocket(fleet: Fleet, tmp_path: Path) -> None:
    with mosquitto(tmp_path, fleet.broker, clients(fleet), extra="protocol websockets") as port:
        assert go(fleet, port, transport="wss").verdict == "ready"
