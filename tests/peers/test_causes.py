"""Each cause is named by the agent on real MicroPython: one test breaks one thing.

The control is `test_nothing_broken`: the same fleet and servers, and the ladder reaches ready.
"""

from __future__ import annotations

import json
import ssl
import warnings
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support import netns, pace, pki, servers
from support.broker import mosquitto
from support.pki import ALWAYS, DEVICE, LATER, LONG_AGO, NOW, Fleet

from firmshake import climb
from firmshake.verdict import Verdict

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
CONNACK = b"\x20\x02\x00\x00"
SUBACK_OF_FIRST = b"\x90\x03\x00\x01\x00"


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return pki.fleet()


def clients(fleet: Fleet) -> bytes:
    """What a broker checks the fleet's boards by."""
    return fleet.device.anchors_pem()


def go(
    fleet: Fleet, port: int, files: dict[str, bytes] | None = None, **changes: object
) -> Verdict:
    """One climb on MicroPython."""
    return climb.run(pki.settings(port, **changes), files or fleet.files())


def go_for(fleet: Fleet, port: int, verdict: str) -> Verdict:
    """One climb on MicroPython; where that verdict is known by waiting, it comes soon."""
    within = pace.within(pace.waiting(verdict, pki.LIMIT_MS))
    return climb.run(pki.settings(port), fleet.files(), within=within)


@BOTH
@pytest.mark.parametrize("runtime", climb.RUNTIMES)
def test_nothing_broken(fleet: Fleet, tmp_path: Path, version: str, runtime: str) -> None:
    with mosquitto(tmp_path, fleet.broker, clients(fleet), version=version) as port:
        verdict = climb.run(pki.settings(port), fleet.files(), runtime=runtime)
    assert verdict.verdict == "ready"
    names = ["identity", "wifi", "clock", "dns", "tcp", "tls", "mqtt", "subscribe", "ready"]
    assert [stage.name for stage in verdict.stages] == names
    assert all(stage.ok for stage in verdict.stages)


# identity: nothing is connected to


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"port": 70000}, "port"),
        ({"port": "8883"}, "port"),
        ({"host": None}, "host"),
        ({"device": ""}, "device"),
        ({"v": 99}, "version"),
        ({"wifi": {"password": "secret-word"}}, "ssid"),
    ],
)
def test_wrong_settings_are_named(fleet: Fleet, changes: dict[str, object], detail: str) -> None:
    verdict = climb.run({**pki.settings(1), **changes}, fleet.files())
    assert verdict.verdict == "identity/config_invalid"
    assert detail in verdict.why
    assert "secret-word" not in json.dumps(verdict.to_dict())


@pytest.mark.parametrize("name", ["ca.der", "key.der", "cert.der"])
def test_a_missing_file_is_named(fleet: Fleet, name: str) -> None:
    files = fleet.files()
    del files[name]
    verdict = go(fleet, 1, files)
    assert verdict.verdict == "identity/file_missing"
    assert verdict.evidence["file"] == name


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x30\x03\x02\x01\x01", b"\x30\x82\xff\xff\x00"])
def test_a_key_that_is_none(fleet: Fleet, junk: bytes) -> None:
    verdict = go(fleet, 1, {**fleet.files(), "key.der": junk})
    assert verdict.verdict == "identity/bad_key"


def test_an_encrypted_key(fleet: Fleet) -> None:
    files = {**fleet.files(), "key.der": pki.encrypted(fleet.device)}
    assert go(fleet, 1, files).verdict == "identity/encrypted_key"


@pytest.mark.parametrize(("name", "cause"), [("cert.der", "bad_certificate"), ("ca.der", "bad_ca")])
def test_a_certificate_that_is_none(fleet: Fleet, name: str, cause: str) -> None:
    files = fleet.files()
    for broken in (b"", b"junk", files[name][:-1], files["key.der"]):
        assert go(fleet, 1, {**files, name: broken}).verdict == f"identity/{cause}"


def test_key_of_another_board(fleet: Fleet) -> None:
    other = fleet.authority.issue("other", now=NOW)
    verdict = go(fleet, 1, {**fleet.files(), "key.der": other.key_der()})
    assert verdict.verdict == "identity/key_mismatch"
    assert DEVICE in verdict.why


@pytest.mark.parametrize(("valid", "cause"), [(LONG_AGO, "expired"), (LATER, "not_yet_valid")])
def test_own_certificate_outside_its_dates(
    fleet: Fleet, valid: tuple[datetime, datetime], cause: str
) -> None:
    device = fleet.authority.issue(DEVICE, now=NOW, valid=valid)
    verdict = go(fleet, 1, fleet.files(device))
    assert verdict.verdict == f"identity/{cause}"
    day = valid[1] if cause == "expired" else valid[0]
    assert f"{day:%Y-%m-%d}" in verdict.why


# dns and tcp


@pytest.mark.parametrize(("dns", "cause"), [("nxdomain", "not_found"), ("silent", "timeout")])
def test_a_name_that_does_not_resolve(fleet: Fleet, dns: str, cause: str) -> None:
    if not netns.allowed():
        pytest.skip("this machine (a container?) forbids the namespace that the DNS server needs")
    settings = pki.settings(8883, host="broker.example.com")
    verdict = climb.run(settings, fleet.files(), within=netns.within(dns))
    assert verdict.verdict == f"dns/{cause}"
    assert "broker.example.com" in verdict.why


def test_nothing_listens(fleet: Fleet) -> None:
    assert go(fleet, servers.free_port()).verdict == "tcp/refused"


def test_packets_are_dropped(fleet: Fleet) -> None:
    with servers.full_port() as port:
        assert go_for(fleet, port, "tcp/timeout").verdict == "tcp/timeout"


def test_no_route(fleet: Fleet) -> None:
    # the kernel has no TCP route to a multicast address, and sends nothing
    verdict = go(fleet, 8883, host="224.0.0.1")
    assert verdict.verdict == "tcp/unreachable"


@pytest.mark.parametrize("runtime", climb.RUNTIMES)
def test_reset_at_once(fleet: Fleet, runtime: str) -> None:
    within = pace.within(pace.SETTLING)
    with servers.tcp(servers.reset) as port:
        verdict = climb.run(pki.settings(port), fleet.files(), runtime=runtime, within=within)
    assert verdict.verdict == "tcp/reset"


# tls.client_hello: what answers is not TLS


def test_plain_http(fleet: Fleet) -> None:
    with servers.tcp(servers.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert go(fleet, port).verdict == "tls.client_hello/not_tls_http"


def test_plain_mqtt(fleet: Fleet, tmp_path: Path) -> None:
    with mosquitto(tmp_path, None) as port:
        assert go(fleet, port).verdict == "tls.client_hello/not_tls_mqtt"


def test_something_else_that_speaks(fleet: Fleet) -> None:
    with servers.tcp(servers.answer(b"SSH-2.0-OpenSSH_9.9\r\n")) as port:
        verdict = go(fleet, port)
    assert verdict.verdict == "tls.client_hello/not_tls"
    assert verdict.evidence["first_bytes"].startswith("5353482d")


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


def test_no_cipher_in_common(fleet: Fleet, tmp_path: Path) -> None:
    # a suite for RSA certificates, and a server that has none
    made = servers.context(fleet.broker, tmp_path)
    made.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with servers.tls(made, servers.hold) as port:
        assert go(fleet, port).verdict == "tls.server_hello/no_shared_cipher"


# tls.server_certificate


@BOTH
@pytest.mark.parametrize(("valid", "cause"), [(LONG_AGO, "expired"), (LATER, "not_yet_valid")])
def test_broker_certificate_outside_its_dates(
    fleet: Fleet, tmp_path: Path, version: str, valid: tuple[datetime, datetime], cause: str
) -> None:
    broker = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, valid=valid)
    with mosquitto(tmp_path, broker, clients(fleet), version=version) as port:
        verdict = go(fleet, port)
    assert verdict.verdict == f"tls.server_certificate/{cause}"
    day = valid[1] if cause == "expired" else valid[0]
    assert f"{day:%Y-%m-%d}" in verdict.why


@BOTH
def test_a_clock_that_woke_in_the_past(fleet: Fleet, tmp_path: Path, version: str) -> None:
    device = fleet.authority.issue(DEVICE, now=NOW, valid=ALWAYS)
    with mosquitto(tmp_path, fleet.broker, clients(fleet), version=version) as port:
        verdict = climb.run(
            pki.settings(port), fleet.files(device), clock=NOW - timedelta(days=3650)
        )
    assert verdict.verdict == "tls.server_certificate/clock_wrong"
    assert f"{NOW - timedelta(days=3650):%Y-%m-%d}" in verdict.why


@BOTH
def test_broker_of_another_ca(fleet: Fleet, tmp_path: Path, version: str) -> None:
    other = pki.fleet("other")
    with mosquitto(tmp_path, other.broker, clients(fleet), version=version) as port:
        verdict = go(fleet, port)
    assert verdict.verdict == "tls.server_certificate/unknown_ca"
    assert "other root CA" in verdict.why
    assert "test root CA" in verdict.why


@BOTH
def test_broker_that_signed_itself(fleet: Fleet, tmp_path: Path, version: str) -> None:
    broker = pki.self_signed("127.0.0.1")
    with mosquitto(tmp_path, broker, clients(fleet), version=version) as port:
        assert go(fleet, port).verdict == "tls.server_certificate/self_signed"


@BOTH
def test_broker_without_its_intermediate(fleet: Fleet, tmp_path: Path, version: str) -> None:
    made = servers.context(fleet.broker, tmp_path, version=version, chain=False)
    with servers.tls(made, servers.hold) as port:
        assert go(fleet, port).verdict == "tls.server_certificate/incomplete_chain"


@BOTH
@pytest.mark.parametrize("wanted", ["broker.example.com", "127.0.0.2"])
def test_broker_of_another_name(fleet: Fleet, tmp_path: Path, version: str, wanted: str) -> None:
    with mosquitto(tmp_path, fleet.broker, clients(fleet), version=version) as port:
        verdict = go(fleet, port, server_name=wanted)
    assert verdict.verdict == "tls.server_certificate/hostname_mismatch"
    assert wanted in verdict.why
    assert "localhost" in verdict.why


@BOTH
def test_broker_with_a_client_certificate(fleet: Fleet, tmp_path: Path, version: str) -> None:
    broker = pki.for_clients_only(fleet.authority)
    with mosquitto(tmp_path, broker, clients(fleet), version=version) as port:
        assert go(fleet, port).verdict == "tls.server_certificate/wrong_usage"


# tls.client_certificate: under TLS 1.3 the reason is encrypted, and MicroPython cannot read it


def expected(cause: str, version: str, runtime: str) -> str:
    """What can be known: under 1.3 MicroPython knows a fatal alert, and not which it is."""
    hidden = version == "1.3" and runtime == "micropython" and cause != "missing"
    return f"tls.client_certificate/{'rejected' if hidden else cause}"


@BOTH
@pytest.mark.parametrize("runtime", climb.RUNTIMES)
def test_board_without_a_certificate(
    fleet: Fleet, tmp_path: Path, version: str, runtime: str
) -> None:
    files = {"ca.der": fleet.files()["ca.der"]}
    with mosquitto(tmp_path, fleet.broker, clients(fleet), version=version) as port:
        verdict = climb.run(pki.settings(port), files, runtime=runtime)
    assert verdict.verdict == expected("missing", version, runtime)


@BOTH
@pytest.mark.parametrize("runtime", climb.RUNTIMES)
def test_board_of_another_ca(fleet: Fleet, tmp_path: Path, version: str, runtime: str) -> None:
    stranger = pki.fleet("stranger").device
    files = {**fleet.files(stranger), "ca.der": fleet.files()["ca.der"]}
    with mosquitto(tmp_path, fleet.broker, clients(fleet), version=version) as port:
        verdict = climb.run(pki.settings(port), files, runtime=runtime)
    assert verdict.verdict == expected("unknown_ca", version, runtime)
    assert "stranger issuing CA" in verdict.evidence["issuer"]


@BOTH
def test_board_whose_certificate_expired_unnoticed(
    fleet: Fleet, tmp_path: Path, version: str
) -> None:
    """The board's clock stands where its certificate was still valid; the broker's does not."""
    then = NOW - timedelta(days=350)
    device = fleet.authority.issue(DEVICE, now=NOW, valid=LONG_AGO)
    broker = fleet.authority.issue_broker(["127.0.0.1"], now=NOW, valid=ALWAYS)
    with mosquitto(tmp_path, broker, clients(fleet), version=version) as port:
        settings = pki.settings(port, floor=int(then.timestamp()))
        verdict = climb.run(settings, fleet.files(device), clock=then)
    assert verdict.verdict == expected("expired", version, "micropython")
    assert verdict.evidence["not_after"].startswith(f"{LONG_AGO[1]:%Y-%m-%d}")


# mqtt


@BOTH
@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (1, "protocol_version"),
        (2, "client_id"),
        (3, "server_unavailable"),
        (4, "bad_credentials"),
        (5, "not_authorized"),
        (0x99, "refused"),
    ],
)
def test_connack_codes(fleet: Fleet, tmp_path: Path, version: str, code: int, cause: str) -> None:
    made = servers.context(fleet.broker, tmp_path, version=version, clients=clients(fleet))
    with servers.tls(made, servers.answer(b"\x20\x02\x00" + bytes([code]))) as port:
        verdict = go(fleet, port)
    assert verdict.verdict == f"mqtt/{cause}"
    assert verdict.evidence["code"] == str(code)


def test_mosquitto_wants_a_user_name(fleet: Fleet, tmp_path: Path) -> None:
    extra = "use_identity_as_username false"
    with mosquitto(tmp_path, fleet.broker, clients(fleet), extra=extra) as port:
        assert go(fleet, port).verdict == "mqtt/not_authorized"


@BOTH
def test_broker_that_closes_at_connect(fleet: Fleet, tmp_path: Path, version: str) -> None:
    made = servers.context(fleet.broker, tmp_path, version=version, clients=clients(fleet))
    with servers.tls(made, servers.hang_up) as port:
        assert go(fleet, port).verdict == "mqtt/closed"


@BOTH
def test_broker_that_keeps_silent(fleet: Fleet, tmp_path: Path, version: str) -> None:
    made = servers.context(fleet.broker, tmp_path, version=version, clients=clients(fleet))
    with servers.tls(made, servers.hold) as port:
        assert go_for(fleet, port, "mqtt/timeout").verdict == "mqtt/timeout"


def test_a_web_server_behind_tls(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path)
    with servers.tls(made, servers.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert go(fleet, port).verdict == "mqtt/not_mqtt"


# subscribe


def test_an_acl_without_the_boards_own_topics(fleet: Fleet, tmp_path: Path) -> None:
    acl = "pattern readwrite elsewhere/%u/#\n"
    with mosquitto(tmp_path, fleet.broker, clients(fleet), acl=acl) as port:
        verdict = go_for(fleet, port, "subscribe/no_echo")
    assert verdict.verdict in ("subscribe/denied", "subscribe/no_echo")


def test_a_suback_that_denies(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    with servers.tls(made, servers.answer(CONNACK, b"\x90\x03\x00\x01\x80")) as port:
        assert go(fleet, port).verdict == "subscribe/denied"


def test_no_echo(fleet: Fleet, tmp_path: Path) -> None:
    made = servers.context(fleet.broker, tmp_path, clients=clients(fleet))
    with servers.tls(made, servers.answer(CONNACK, SUBACK_OF_FIRST)) as port:
        assert go_for(fleet, port, "subscribe/no_echo").verdict == "subscribe/no_echo"
