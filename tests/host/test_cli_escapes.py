"""Names of files, and from certificates and requests, steer no terminal."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support.commands import FD, run

from firmshake import cli, project
from firmshake.ca import certificate as certificates
from firmshake.ca import profiles
from firmshake.ca.certificate import Issuer
from firmshake.cli.ca import log as logging
from firmshake.newproject import new_project
from firmshake.project import Broker, Project
from firmshake.registry import Issued, Registry
from firmshake.registry.log import GENESIS, link

PHRASE = b"correct horse"
NOW = datetime.now(UTC)
# clears the screen: as a control sequence of two characters, and with one of C1
EVIL = "\x1b[2J\x9b2J\u202e"


@pytest.fixture
def made(tmp_path: Path) -> Project:
    broker = Broker("127.0.0.1", 8883, "mqtt.example")
    folder = tmp_path / f"green{EVIL}house"
    return new_project(folder, broker=broker, passphrase=PHRASE, now=NOW, name="greenhouse")


def _harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.splitlines())


def test_a_complaint_is_printed_with_its_control_characters_written_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["firmshake", "ca", "list", "--project", str(tmp_path / EVIL)]
    monkeypatch.setattr(sys, "argv", words)
    assert cli._status() == 1
    err = capsys.readouterr().err
    assert "\\x1b[2J\\x9b2J\\u202e" in err
    assert _harmless(err)
    assert len(err.splitlines()) == 2


def test_a_path_that_is_no_text_is_complained_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["firmshake", "ca", "list", "--project", "a\udcff"])
    assert cli._status() == 1
    assert "a\\udcff" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("show",),
        ("list",),
        ("expiring", "--within", "90y"),
        ("audit",),
        ("crl",),
        ("rekey", "pump", "--out", "OUT"),
        ("issue", "lamp", "--out", "OUT"),
        ("passphrase", "--new-passphrase-fd", FD),
        ("export", "mosquitto", "--out", "OUT"),
    ],
)
def test_what_the_commands_print_is_harmless(made: Project, words: tuple[object, ...]) -> None:
    registry, authority = (
        Registry.open(made.registry_path),
        project.open_authority(made, PHRASE),
    )
    registry.record_issued("pump", authority.issue("pump", now=NOW).certificate)
    fds = ("--passphrase-fd", FD) if words[0] in ("crl", "rekey", "issue", "passphrase") else ()
    given = [made.root / f"out{EVIL}" if word == "OUT" else word for word in words]
    done = run("ca", *given, "--project", made.root, *fds, secrets=(PHRASE, PHRASE))
    assert done.status == 0, done
    assert done.out
    assert _harmless(done.out)
    assert _harmless(done.err)


def test_a_request_moves_no_cursor(made: Project, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, EVIL)])
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    path, out = tmp_path / f"{EVIL}.csr", tmp_path / f"{EVIL}.crt"
    path.write_bytes(asked.public_bytes(Encoding.PEM))
    words = ("--device", "pump", "--out", out, "--project", made.root, "--passphrase-fd", FD)
    done = run("ca", "sign", path, *words, secrets=(PHRASE,))
    assert done.status == 0, done
    assert "not as asked for: subject CN=pump in place of CN=" in done.err
    assert _harmless(done.out)
    assert _harmless(done.err)


def test_the_log_is_written_out_on_a_terminal_and_keeps_its_hashes_elsewhere(
    made: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, registry = project.open_authority(made, PHRASE), Registry.open(made.registry_path)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, EVIL)])
    key = ec.generate_private_key(ec.SECP256R1())
    using = profiles.load().broker
    above = Issuer(authority.key, authority.certificate)
    valid = certificates.window(using, NOW)
    odd = certificates.signed(using, name, [], key.public_key(), valid, above)
    registry.record(Issued("other", odd))

    plain = run("ca", "log", "--project", made.root).out.split("\n")[:-1]
    assert any(EVIL[4:] in line for line in plain)  # of ASCII's own, JSON writes out
    before = GENESIS
    for line in plain:
        sha256, _, text = line.partition(" ")
        assert link(before, text) == sha256
        before = sha256

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert logging.command.callback is not None
    logging.command.callback(after=0, folder=made.root)
    shown = capsys.readouterr().out
    assert _harmless(shown)
    assert len(shown.splitlines()) == len(plain)
    assert json.loads(plain[0].partition(" ")[2])["seq"] == 1
