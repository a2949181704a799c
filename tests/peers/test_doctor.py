"""`firmshake doctor`: the agent's ladder from this computer, as it is typed."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from support import desk, pki, servers
from support.broker import mosquitto

from firmshake import climb, tools
from firmshake.cli.doctor import command
from firmshake.errors import Error
from firmshake.project import Project

PEM, DER = Encoding.PEM, Encoding.DER
OLD, PKCS8 = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8  # SEC1 or PKCS#1; and PKCS#8
RUNTIMES = pytest.mark.parametrize("runtime", climb.RUNTIMES)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Lab:
    """A fleet, its broker, and files as a user has them."""

    fleet: pki.Fleet
    port: int
    ca: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder, fleet = tmp_path_factory.mktemp("lab"), pki.fleet()
    ca = folder / "root.crt"
    ca.write_bytes(fleet.device.anchors_pem())
    with mosquitto(folder, fleet.broker, fleet.device.anchors_pem()) as port:
        yield Lab(fleet, port, ca)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose broker runs."""
    project = desk.make_project(tmp_path_factory.mktemp("doctor") / "fleet")
    with desk.broker(project):
        yield project


@pytest.fixture(scope="module")
def keys() -> dict[str, Key]:
    return {
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
    }


def doctor(*arguments: object) -> dict[str, Any]:
    """The object that `--quick --json` prints: all that is on standard output, in one line."""
    done = CliRunner().invoke(
        command, ["--quick", *map(str, arguments), "--json"], catch_exceptions=False
    )
    assert done.stdout.count("\n") == 1
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    assert done.exit_code == (0 if found["ok"] else 1)
    return found


def certificate(lab: Lab, key: Key, folder: Path, encoding: Encoding = PEM) -> Path:
    """A file with a client's certificate of the fleet for this key, and the intermediate."""
    issuer = lab.fleet.authority
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client-1")])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(pki.NOW - timedelta(days=1))
        .not_valid_after(pki.NOW + timedelta(days=1))
        .sign(issuer.key, hashes.SHA256())
    )
    path = folder / "client.crt"
    path.write_bytes(leaf.public_bytes(encoding) + issuer.certificate.public_bytes(encoding))
    return path


# the object


@RUNTIMES
def test_the_verdict_of_a_climb_that_succeeds(made: Project, runtime: str) -> None:
    with desk.typed() as fd:
        found = doctor(
            *("--project", made.root, "--device", "d-1", "--runtime", runtime),
            *("--passphrase-fd", fd),
        )
    evidence, stages = found.pop("evidence"), found.pop("stages")
    assert found == {
        "ok": True,
        "verdict": "ready",
        "stage": "ready",
        "step": None,
        "cause": None,
        "why": "",
        "fix": "",
    }
    assert all(isinstance(text, str) for pair in evidence.items() for text in pair)
    names = ["identity", "wifi", "clock", "dns", "tcp", "tls", "mqtt", "subscribe", "ready"]
    assert [stage["name"] for stage in stages] == names
    for stage in stages:
        assert list(stage) == ["name", "ok", "ms"]
        assert stage["ok"] is True
        assert type(stage["ms"]) is int


@RUNTIMES
def test_the_verdict_of_a_climb_that_fails(lab: Lab, runtime: str) -> None:
    found = doctor(f"127.0.0.1:{lab.port}", "--ca", lab.ca, "--runtime", runtime)
    evidence, stages = found.pop("evidence"), found.pop("stages")
    assert found.pop("why")
    assert found.pop("fix")
    assert found == {
        "ok": False,
        "verdict": "tls.client_certificate/missing",
        "stage": "tls",
        "step": "client_certificate",
        "cause": "missing",
    }
    assert evidence["port"] == str(lab.port)
    assert stages[-1]["name"] == "tls"
    assert stages[-1]["ok"] is False
    assert [stage["ok"] for stage in stages[:-1]] == [True] * 5


@RUNTIMES
def test_a_host_that_is_not_reached(lab: Lab, runtime: str) -> None:
    port = servers.free_port()
    found = doctor(f"127.0.0.1:{port}", "--ca", lab.ca, "--runtime", runtime)
    assert found["verdict"] == "tcp/refused"
    found = doctor("no-such-host.invalid", "--ca", lab.ca, "--runtime", runtime)
    # what a computer without any network says, and one with it
    assert found["stage"] == "dns"
    with servers.tcp(servers.hold) as port:
        found = doctor(
            *(f"127.0.0.1:{port}", "--ca", lab.ca, "--runtime", runtime, "--timeout", "0.5")
        )
    assert found["verdict"] == "tls.client_hello/timeout"
    assert found["evidence"]["limit_ms"] == "500"
    # it is kept: without it, 15 s
    assert found["stages"][-1]["ms"] < 15_000


# keys and certificates in every form


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("encoding", [PEM, DER])
@pytest.mark.parametrize("form", [OLD, PKCS8])
def test_a_key_in_any_form(
    *,
    lab: Lab,
    keys: dict[str, Key],
    tmp_path: Path,
    kind: str,
    encoding: Encoding,
    form: PrivateFormat,
) -> None:
    path = tmp_path / "client.key"
    path.write_bytes(keys[kind].private_bytes(encoding, form, NoEncryption()))
    cert = certificate(lab, keys[kind], tmp_path, encoding)
    found = doctor(f"127.0.0.1:{lab.port}", "--ca", lab.ca, "--cert", cert, "--key", path)
    assert found["verdict"] == "ready"
    topics = [stage["name"] for stage in found["stages"]]
    assert topics[-1] == "ready"


@RUNTIMES
@pytest.mark.parametrize(("encoding", "form"), [(PEM, OLD), (PEM, PKCS8), (DER, PKCS8)])
def test_a_key_that_is_encrypted(
    *,
    lab: Lab,
    keys: dict[str, Key],
    tmp_path: Path,
    runtime: str,
    encoding: Encoding,
    form: PrivateFormat,
) -> None:
    path = tmp_path / "client.key"
    secret = BestAvailableEncryption(b"correct horse")
    path.write_bytes(keys["ec"].private_bytes(encoding, form, secret))
    cert = certificate(lab, keys["ec"], tmp_path)
    found = doctor(
        *("127.0.0.1:1", "--ca", lab.ca, "--cert", cert, "--key", path, "--runtime", runtime)
    )
    assert found["verdict"] == "identity/encrypted_key"


def test_a_key_and_certificates_in_one_file(lab: Lab, keys: dict[str, Key], tmp_path: Path) -> None:
    """As `openssl` and others write it: with words around, and with the line ends of Windows."""
    cert = certificate(lab, keys["ec"], tmp_path)
    pem = keys["ec"].private_bytes(PEM, PKCS8, NoEncryption())
    both = tmp_path / "both.pem"
    both.write_bytes((b"Bag Attributes\n" + cert.read_bytes() + pem).replace(b"\n", b"\r\n"))
    found = doctor(f"127.0.0.1:{lab.port}", "--ca", lab.ca, "--cert", both, "--key", both)
    assert found["verdict"] == "ready"


@pytest.mark.parametrize(
    ("key", "cert", "ca", "verdict"),
    [
        (b"", None, None, "identity/bad_key"),
        (b"-----BEGIN EC PRIVATE KEY-----\njunk", None, None, "identity/bad_key"),
        (None, b"-----BEGIN CERTIFICATE-----\njunk", None, "identity/bad_certificate"),
        (None, b"\x30\x82", None, "identity/bad_certificate"),
        (None, None, b"", "identity/bad_ca"),
        (None, None, b"\xff" * 999, "identity/bad_ca"),
    ],
)
def test_what_cannot_be_read_is_named_by_the_agent(
    *,
    lab: Lab,
    keys: dict[str, Key],
    tmp_path: Path,
    key: bytes | None,
    cert: bytes | None,
    ca: bytes | None,
    verdict: str,
) -> None:
    good = {
        "--key": keys["ec"].private_bytes(PEM, OLD, NoEncryption()),
        "--cert": certificate(lab, keys["ec"], tmp_path).read_bytes(),
        "--ca": lab.ca.read_bytes(),
    }
    arguments: list[object] = []
    for option, spoilt in (("--key", key), ("--cert", cert), ("--ca", ca)):
        path = tmp_path / option.strip("-")
        path.write_bytes(good[option] if spoilt is None else spoilt)
        arguments += [option, path]
    assert doctor("127.0.0.1:1", *arguments)["verdict"] == verdict


# in a project


@RUNTIMES
def test_a_project_is_enough(made: Project, runtime: str) -> None:
    """What people see: the ladder on standard output, nothing else."""
    done = desk.firmshake(
        *("doctor", "--quick", "--device", "d-1", "--runtime", runtime), cwd=made.root
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("✓ ready")
    assert all(line.startswith("✓ ") for line in lines)


def test_a_server_name_that_the_broker_does_not_have(made: Project) -> None:
    with desk.typed() as fd:
        found = doctor(
            *("--project", made.root, "--device", "d-1", "--passphrase-fd", fd),
            *("--server-name", "other.example"),
        )
    assert found["verdict"] == "tls.server_certificate/hostname_mismatch"


@RUNTIMES
def test_an_ipv6_address(tmp_path: Path, runtime: str) -> None:
    made = desk.make_project(tmp_path / "fleet", host="::1")
    arguments = ["--device", "d-1", "--runtime", runtime, "--ca", made.ca_folder / "root.crt"]
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:  # this computer has no IPv6 at all
        found = doctor(f"[::1]:{made.broker.port}", *arguments)
        assert found["verdict"] in ("tcp/unreachable", "dns/not_found")
        return
    with desk.broker(made), desk.typed() as fd:
        by_project = doctor("--project", made.root, *arguments, "--passphrase-fd", fd)
        by_address = doctor(f"[::1]:{made.broker.port}", *arguments)
    assert by_project["verdict"] == "ready"
    assert by_address["verdict"] == "tls.client_certificate/missing"


# how the broker is spoken to


def test_a_websocket_and_its_path(lab: Lab) -> None:
    arguments = ["--ca", lab.ca, "--transport", "wss"]
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        heard.append(connection.recv(4096).split(b"\r\n")[0])
        connection.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")

    with tempfile.TemporaryDirectory() as folder:
        made = servers.context(lab.fleet.broker, Path(folder))
        with servers.tls(made, listen) as port:
            found = doctor(f"localhost:{port}", *arguments)
            doctor(f"localhost:{port}", *arguments, "--path", "/other")
            plain = doctor(f"localhost:{port}", "--ca", lab.ca)
    assert found["verdict"] == "websocket/http_status"
    assert heard[:2] == [b"GET /mqtt HTTP/1.1", b"GET /other HTTP/1.1"]
    assert plain["stage"] == "mqtt"


def test_alpn_and_sni_are_for_cpython_alone(lab: Lab) -> None:
    where = f"localhost:{lab.port}"
    for extra in (["--alpn", "mqtt"], ["--sni", "gate.example"]):
        found = doctor(where, "--ca", lab.ca, *extra)
        assert found["verdict"] == "identity/config_invalid"
        found = doctor(where, "--ca", lab.ca, *extra, "--runtime", "cpython")
        assert found["verdict"] == "tls.client_certificate/missing"


def test_the_projects_way_to_speak_is_taken_unless_another_is_said(
    made: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "fleet"
    shutil.copytree(made.root, folder)
    settings = folder / "fleet.toml"
    more = '[broker]\ntransport = "wss"\nalpn = "mqtt"\n'
    settings.write_text(settings.read_text().replace("[broker]\n", more))
    arguments = ["--project", folder, "--device", "d-1"]
    for extra, verdict in (
        ([], "identity/config_invalid"),
        (["--alpn", ""], "websocket/closed"),
        (["--alpn", "", "--transport", "mqtts"], "ready"),
    ):
        with desk.typed() as fd:
            found = doctor(*arguments, "--passphrase-fd", fd, *extra)
        assert found["verdict"] == verdict


# the time


@pytest.mark.parametrize(
    ("days", "verdict"),
    [
        (-9000, "tls.server_certificate/clock_wrong"),
        (1, "ready"),
        (600, "tls.server_certificate/expired"),
        (99_999, "identity/expired"),
    ],
)
def test_the_agent_believes_the_time_that_it_is_given(
    made: Project, days: int, verdict: str
) -> None:
    clock = f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"
    with desk.typed() as fd:
        found = doctor(
            *("--project", made.root, "--device", "d-1", "--passphrase-fd", fd, "--clock", clock)
        )
    assert found["verdict"] == verdict
    if verdict != "ready":
        assert found["evidence"]["now"].startswith(clock)


@pytest.mark.parametrize(
    "clock", ["0001-01-01", "9999-12-31T23:59+00:00", "0001-01-01T00:00+23:00"]
)
def test_a_time_at_the_ends_of_the_calendar(made: Project, clock: str) -> None:
    arguments = ["--project", str(made.root), "--clock", clock, "--device", "d-1"]
    with desk.typed() as fd:
        done = CliRunner().invoke(command, [*arguments, "--passphrase-fd", str(fd)])
    assert done.exit_code == 1
    assert isinstance(done.exception, (SystemExit, Error))


def test_a_time_that_cannot_be_given_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than ignored: each runtime needs the libfaketime of its own system."""
    monkeypatch.setattr(tools, "system_faketime", lambda: None)
    arguments = ["127.0.0.1:1", "--ca", str(lab.ca), "--clock", "2020-01-01"]
    with pytest.raises(Error, match="cannot give cpython another time") as caught:
        CliRunner().invoke(command, [*arguments, "--runtime", "cpython"], catch_exceptions=False)
    assert "--runtime" in caught.value.hint


# what is refused


def test_wrong_usage(made: Project, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    ca = str(made.ca_folder / "root.crt")

    def refused(*arguments: str, cwd: Path = empty) -> str:
        done = desk.firmshake("doctor", *arguments, cwd=cwd, passphrase=None)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "no broker is named" in refused()
    assert "no CA is named" in refused("b.example")
    assert "names no server" in refused("http://b.example", "--ca", ca)
    assert "no such file" in refused("b.example", "--ca", "absent.crt")
    assert "--cert and --key" in refused("b.example", "--ca", ca, "--cert", ca)
    assert "is no time" in refused("b.example", "--ca", ca, "--clock", "yesterday")
    assert "--transport wss" in refused("b.example", "--ca", ca, "--path", "/mqtt")
    assert "must begin" in refused("b.example", "--ca", ca, "--transport", "wss", "--path", "x")
    assert "--sni" in refused("b.example", "--ca", ca, "--sni", "192.0.2.1")
    assert "nan" in refused("b.example", "--ca", ca, "--timeout", "nan")
    assert "can't be a device id" in refused("b.example", "--ca", ca, "--device", "a b")
    assert "cpython" in refused("b.example", "--ca", ca, "--runtime", "javascript")
    assert "no terminal to ask" in refused("--device", "d-1", cwd=made.root)


def test_a_project_that_is_none(tmp_path: Path) -> None:
    done = desk.firmshake("doctor", "--project", "absent", cwd=tmp_path)
    assert desk.complaint(done)[0].startswith("no project in absent")
    (tmp_path / "fleet.toml").write_text("name = ")
    done = desk.firmshake("doctor", cwd=tmp_path)
    assert "fleet.toml" in desk.complaint(done)[0]


def test_without_micropython_it_says_how_to_get_it(lab: Lab, tmp_path: Path) -> None:
    nothing = {"FIRMSHAKE_TOOLS": str(tmp_path), "PATH": str(tmp_path)}
    arguments = ["doctor", "127.0.0.1:1", "--ca", str(lab.ca)]
    done = desk.firmshake(*arguments, cwd=tmp_path, passphrase=None, environment=nothing)
    what, hint = desk.complaint(done)
    assert what == "cannot find micropython"
    assert "make setup" in hint
    done = desk.firmshake(
        *arguments, "--runtime", "cpython", cwd=tmp_path, passphrase=None, environment=nothing
    )
    assert "tcp/refused" in done.stdout


@RUNTIMES
def test_modules_in_the_current_folder_are_not_taken_for_ours(
    lab: Lab, tmp_path: Path, runtime: str
) -> None:
    for name in ("json", "firmshake_agent", "binascii"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    done = desk.firmshake(
        *("doctor", "127.0.0.1:1", "--ca", str(lab.ca), "--runtime", runtime),
        cwd=tmp_path,
        passphrase=None,
    )
    assert "tcp/refused" in done.stdout, done.stderr
