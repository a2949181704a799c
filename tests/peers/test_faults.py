"""Each fault is what it says: seen by stock clients, and named by the agent.

`make score` asks the agent about every case; here each way of making faults has one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import pace, pki, reaper

from firmshake import climb, tools
from firmshake.event import Event
from firmshake.faults import CASES, CLIENT, Faults

LIMIT_S = 60.0

# one of each way in which a fault is made, with a cause of each stage
NAMED = (
    "good",
    "good-mosquitto",
    "tcp-refused",
    "tcp-dropped",
    "plain-mqtt",
    "captive-portal",
    "closed-in-certificate",
    "silent-after-hello",
    "trickle",
    "record-damaged",
    "alert-unrecognized-name",
    "version-ssl3",
    "version-tls1.1",
    "cipher-rc4",
    "cipher-cbc",
    "expired",
    "interception",
    "sha1",
    "no-subject",
    "chain-16k",
    "rsa-4096-chain",
    "san-1000",
    "client-missing",
    "client-revoked",
    "client-expired",
    "client-refused-and-reset",
    "client-alert-49",
    "ws-good",
    "ws-404",
    "connack-03",
    "https",
    "suback-denied",
    "acl",
    "closed-at-subscribe",
)
# faults that only a held session meets
HELD = ("pingresp-missing", "closed-at-ping")
# what stock clients are asked about
SEEN = ("wrong-host", "self-signed", "incomplete-chain", "client-alert-44", "rsa-2048", "no-echo")


@pytest.fixture(scope="module")
def faults() -> Iterator[Faults]:
    with Faults([*NAMED, *HELD, *SEEN]) as served:
        yield served


def rows(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name, version) for name in names for version in CASES[name].versions]


@pytest.mark.parametrize("runtime", climb.RUNTIMES)
@pytest.mark.parametrize(("name", "version"), rows((*NAMED, *HELD)))
def test_the_agent_names_it(faults: Faults, name: str, version: str, runtime: str) -> None:
    case = CASES[name]
    row = next(row for row in faults.rows if (row.case, row.version) == (case, version))
    expected = case.expected(version, runtime)
    before = pace.waiting(expected, pki.LIMIT_MS) or (pace.UNHURRIED if case.holds else "")
    passed: list[Event] = []
    verdict = climb.run(
        {**faults.settings(row), "limit_ms": pki.LIMIT_MS},
        faults.files(case.client),
        runtime=runtime,
        hold=case.holds,
        within=pace.within(before),
        on_event=lambda event: passed.append(event) if event.state == "ok" else None,
    )
    assert verdict.verdict == expected
    # what goes well is done when it is done: no stage sits out its time for bytes that never come
    assert [e.stage for e in passed if int(e.fields["took"]) >= pki.LIMIT_MS] == []


# stock clients: what they see proves that the fault is the one that was meant


@pytest.fixture(scope="module")
def identity(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity")
    faults.write_identity(folder)
    return folder


@contextlib.contextmanager
def shaken(faults: Faults, identity: Path, name: str, version: str) -> Iterator[ssl.SSLSocket]:
    """A connection by OpenSSL with all that the client has."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(identity / "ca.pem")
    context.load_cert_chain(identity / "client.pem", identity / "client.key")
    with (
        socket.create_connection(("127.0.0.1", faults.port(name, version)), LIMIT_S) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as wrapped,
    ):
        yield wrapped


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("expired", "certificate has expired"),
        ("wrong-host", "Hostname mismatch"),
        ("self-signed", "self-signed certificate"),
        ("incomplete-chain", "unable to get local issuer certificate"),
        ("interception", "unable to get local issuer certificate"),
        ("sha1", "too weak"),
    ],
)
def test_openssl_says_what_is_wrong_with_the_certificate(
    faults: Faults, identity: Path, name: str, words: str, version: str
) -> None:
    with (
        pytest.raises(ssl.SSLCertVerificationError, match=words),
        shaken(faults, identity, name, version),
    ):
        raise AssertionError
    # the control: the same client and CA
    with shaken(faults, identity, "good", version) as wrapped:
        assert wrapped.version() == f"TLSv{version}"


def test_the_alert_of_tls_1_3_arrives_encrypted_with_its_number(
    faults: Faults, identity: Path
) -> None:
    with (
        shaken(faults, identity, "client-alert-44", "1.3") as wrapped,
        pytest.raises(ssl.SSLError, match="(?i)certificate.revoked"),
    ):
        wrapped.recv(1)


def test_a_raw_alert_is_seven_bytes_and_a_close(faults: Faults) -> None:
    port = faults.port("alert-unrecognized-name")
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as connection:
        connection.sendall(b"\x16\x03\x01\x00\x04\x01\x00\x00\x00")
        assert connection.recv(100) == bytes([21, 3, 3, 0, 2, 2, 112])
        assert connection.recv(100) == b""


def publish(
    faults: Faults, identity: Path, port: int, *more: str
) -> subprocess.CompletedProcess[str]:
    """mosquitto_pub, a client that knows nothing of firmshake."""
    command = [
        *tools.mosquitto_client("pub"),
        *("-h", "127.0.0.1", "-p", str(port), "-i", CLIENT),
        *("--cafile", str(identity / "ca.pem"), "--cert", str(identity / "client.pem")),
        *("--key", str(identity / "client.key"), "-t", f"devices/{CLIENT}/x", "-m", "hello"),
        *more,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.mark.parametrize("name", ["good", "good-mosquitto", "no-echo", "rsa-2048"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_stock_client_can_use_it(faults: Faults, identity: Path, name: str, version: str) -> None:
    done = publish(faults, identity, faults.port(name, version), "-q", "1")
    assert done.returncode == 0, done.stderr


def test_a_stock_client_is_refused_by_the_same_fault(faults: Faults, identity: Path) -> None:
    refused = publish(faults, identity, faults.port("connack-03", "1.2"))
    assert refused.returncode != 0
    assert "unavailable" in refused.stderr.lower()


# the command


def test_the_command_serves_until_it_is_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    folder, temporary = tmp_path / "id", tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-P", "-m", "firmshake", "faults", "serve", "--json"]
    command += ["--case", "expired", "--case", "good-mosquitto", "--identity-dir", str(folder)]
    process = subprocess.Popen(
        [sys.executable, reaper.__file__, *command],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    served = json.loads(process.stdout.readline())
    assert [(row["case"], row["version"]) for row in served] == rows(("expired", "good-mosquitto"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "ca.pem")
    with (
        socket.create_connection(("127.0.0.1", served[0]["port"]), LIMIT_S) as connection,
        pytest.raises(ssl.SSLCertVerificationError, match="expired"),
    ):
        context.wrap_socket(connection, server_hostname="localhost")
    os.kill(pid, signal.SIGTERM)
    rest, _ = process.communicate(timeout=LIMIT_S)
    ended = json.loads(rest.strip().splitlines()[-1])
    assert ended["status"] == 128 + signal.SIGTERM
    assert not ended["left"]
    assert list(temporary.iterdir()) == []
    assert (folder / "client.key").exists()
