"""`firmshake ca export` in a project: what is written, what is refused, what is said."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from support import desk

from firmshake import intermediates
from firmshake.ca import certificate as certificates
from firmshake.ca import store
from firmshake.cli.ca import command
from firmshake.errors import Error
from firmshake.exports import TARGETS
from firmshake.project import Project
from firmshake.registry import Registry

NOW = datetime.now(UTC)
CODE = "0123456789abcdef" * 3
AWS = ("--account", "123456789012", "--region", "eu-central-1")
NEEDED = {"aws-iot": AWS, "step-ca": ("--dns", "ca.example")}


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return desk.make_project(tmp_path / "greenhouse")


@pytest.fixture
def registry(made: Project) -> Registry:
    return Registry.open(made.registry_path)


def issue(made: Project, registry: Registry, device_id: str) -> x509.Certificate:
    found = desk.authority(made).issue(device_id, now=NOW).certificate
    registry.record_issued(device_id, found)
    return found


def export(made: Project, target: str, out: Path, *words: str, secret: bytes = b"") -> Result:
    options = ["export", target, "--out", str(out), "--project", str(made.root), *words]
    if not secret:
        return CliRunner().invoke(command, [*options, *NEEDED.get(target, ())])
    with desk.typed(secret) as fd:
        options += ["--passphrase-fd", str(fd), *NEEDED.get(target, ())]
        return CliRunner().invoke(command, options)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("target", TARGETS)
def test_a_folder_is_written_and_its_files_are_listed(
    made: Project, tmp_path: Path, target: str
) -> None:
    out = tmp_path / "out"
    done = export(made, target, out)
    assert done.exit_code == 0, done.output
    first, *listed = done.stdout.splitlines()
    assert first == f"{out}: {TARGETS[target]}"
    assert [line.strip() for line in listed] == names(out)
    assert "README.txt" in names(out)
    assert f"read {out / 'README.txt'}" in done.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_it_is_said_where_revoking_has_no_effect(
    made: Project, tmp_path: Path, target: str
) -> None:
    said = "revoked devices get in" in export(made, target, tmp_path / "a").stderr
    assert said == (target in ("emqx", "nanomq"))
    profiles = made.root / "profiles.toml"
    before, device = profiles.read_text().split("[device]")
    address = 'crl_url = "http://crl.example/issuing.crl"'
    profiles.write_text(before + "[device]" + device.replace('crl_url = ""', address))
    said = "revoked devices get in" in export(made, target, tmp_path / "b").stderr
    assert said == (target == "nanomq")


@pytest.mark.parametrize("target", ["mosquitto", "emqx", "nanomq", "rabbitmq"])
def test_the_brokers_key_is_there_only_if_asked_for_and_for_its_owner_only(
    made: Project, tmp_path: Path, target: str
) -> None:
    def holding(folder: Path) -> list[Path]:
        return [
            path
            for path in folder.rglob("*")
            if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
        ]

    assert export(made, target, tmp_path / "without").exit_code == 0
    assert holding(tmp_path / "without") == []
    done = export(made, target, tmp_path / "with", "--with-key")
    assert "private key" in done.stderr
    (path,) = holding(tmp_path / "with")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert _key(path) == _key(made.broker_folder / "broker.pem")


def _key(path: Path) -> bytes:
    return path.read_bytes().partition(b"-----BEGIN PRIVATE KEY-----")[2]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("mosquitto", ["--code", CODE]),
        ("aws-iot", ["--with-key"]),
        ("azure-dps", ["--account", "123456789012"]),
        ("emqx", ["--dns", "ca.example"]),
        ("step-ca", ["--keystore-passphrase-fd", "0"]),
        ("azure-dps", ["--at", "/etc/x"]),
        ("mosquitto", ["--at", "relative"]),
        (
            "mosquitto",
            ["--at", '/etc/"x'],
        ),
        ("mosquitto", ["--at", "/etc/a b"]),
        ("step-ca", ["--dns", "a b"]),
    ],
)
def test_an_option_without_a_sense_is_wrong_usage(
    made: Project, tmp_path: Path, target: str, words: list[str]
) -> None:
    done = export(made, target, tmp_path / "out", *words)
    assert isinstance(done.exception, Error)
    assert done.exception.status == 2
    assert not (tmp_path / "out").exists()
    assert export(made, target, tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--account", "1234", "--region", "eu-central-1"],
        ["--account", "123456789012"],
        ["--account", "123456789012", "--region", "Frankfurt"],
    ],
)
def test_aws_needs_an_account_and_a_region(made: Project, tmp_path: Path, words: list[str]) -> None:
    options = ["--out", str(tmp_path / "out"), "--project", str(made.root), *words]
    done = CliRunner().invoke(command, ["export", "aws-iot", *options])
    assert isinstance(done.exception, Error)
    assert done.exception.status == 2


def test_a_file_that_is_there_already_is_not_touched(made: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "acl").write_text("mine")
    done = export(made, "mosquitto", out)
    assert isinstance(done.exception, Error)
    assert names(out) == ["acl"]
    assert (out / "acl").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "said"), [("crl.pem", "firmshake ca crl"), ("broker.pem", "firmshake ca broker")]
)
def test_what_the_project_lacks_is_named_with_what_makes_it(
    made: Project, tmp_path: Path, name: str, said: str
) -> None:
    (made.broker_folder / name).unlink()
    done = export(made, "mosquitto", tmp_path / "out")
    assert isinstance(done.exception, Error)
    assert name in done.exception.message
    assert said in done.exception.hint
    assert not (tmp_path / "out").exists()


def test_boards_over_websocket_are_refused(made: Project, tmp_path: Path) -> None:
    settings = made.root / "fleet.toml"
    settings.write_text(settings.read_text().replace("[broker]", '[broker]\ntransport = "wss"'))
    done = export(made, "mosquitto", tmp_path / "out")
    assert isinstance(done.exception, Error)
    assert "WebSocket" in done.exception.message


def test_rabbitmq_is_refused_where_it_would_mix_up_devices(
    made: Project, registry: Registry, tmp_path: Path
) -> None:
    issue(made, registry, "pump")
    assert export(made, "rabbitmq", tmp_path / "a").exit_code == 0
    issue(made, registry, "pump.2")
    done = export(made, "rabbitmq", tmp_path / "b")
    assert isinstance(done.exception, Error)
    assert "pump.2" in done.exception.message
    assert not (tmp_path / "b").exists()


def test_a_list_has_the_good_devices_and_another_the_revoked(
    made: Project, registry: Registry, tmp_path: Path
) -> None:
    for name in ("kept", "stolen", "with.dot"):
        issue(made, registry, name)
    issue(made, registry, "kept")  # provisioned again
    old, _ = registry.certificates(device_id="kept")
    (stolen,) = registry.certificates(device_id="stolen")
    superseded = [] if old.revoked_at else [old.serial_number]
    registry.revoke([*superseded, stolen.serial_number], "keyCompromise")

    done = export(made, "aws-iot", tmp_path / "aws")
    assert "with.dot" in done.stderr
    things = [line["ThingName"] for line in lines(tmp_path / "aws" / "devices.jsonl")]
    assert things == ["kept"]
    told = {line["certificateId"] for line in lines(tmp_path / "aws" / "revoked.jsonl")}
    assert told == {old.fingerprint_sha256, stolen.fingerprint_sha256}

    assert export(made, "azure-dps", tmp_path / "azure").exit_code == 0
    (operation,) = lines(tmp_path / "azure" / "revoked.jsonl")
    (enrollment,) = operation["enrollments"]
    assert enrollment["registrationId"] == "stolen"
    assert enrollment["provisioningStatus"] == "disabled"


def renewed(made: Project, registry: Registry) -> str:
    """Give the project a new issuing CA; return the serial number of the old."""
    old = store.certificate(made.ca_folder, store.read(made.ca_folder).issuing)
    root = store.open_root(made.ca_folder, store.read(made.ca_folder).root, desk.PASSPHRASE)
    after = root.issue_authority(made.name, now=NOW)
    intermediates.take(made, registry, after, desk.PASSPHRASE, now=NOW)
    return certificates.serial(old)


def test_what_a_revoked_ca_has_signed_counts_as_revoked(
    made: Project, registry: Registry, tmp_path: Path
) -> None:
    before = [issue(made, registry, name) for name in ("moved", "left")]
    old = renewed(made, registry)
    issue(made, registry, "moved")

    assert export(made, "aws-iot", tmp_path / "renewed").exit_code == 0
    told = [line["certificateId"] for line in lines(tmp_path / "renewed" / "revoked.jsonl")]
    assert told == []
    assert len((tmp_path / "renewed" / "retired-cas.txt").read_text().split()) == 1

    registry.revoke([old], "cACompromise")
    assert export(made, "aws-iot", tmp_path / "aws").exit_code == 0
    told = [line["certificateId"] for line in lines(tmp_path / "aws" / "revoked.jsonl")]
    assert told == [certificates.fingerprint(one) for one in before]
    assert [line["ThingName"] for line in lines(tmp_path / "aws" / "devices.jsonl")] == ["moved"]
    assert len((tmp_path / "aws" / "revoked-cas.txt").read_text().split()) == 1

    assert export(made, "azure-dps", tmp_path / "azure").exit_code == 0
    (operation,) = lines(tmp_path / "azure" / "revoked.jsonl")
    assert [one["registrationId"] for one in operation["enrollments"]] == ["left"]
    assert "--provisioning-status disabled" in (tmp_path / "azure" / "README.txt").read_text()


@pytest.mark.parametrize("target", ["aws-iot", "azure-dps"])
def test_a_proof_is_signed_and_is_in_the_registry(
    made: Project, registry: Registry, tmp_path: Path, target: str
) -> None:
    done = export(made, target, tmp_path / "out", "--code", CODE, secret=desk.PASSPHRASE)
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "out").glob("verification.*")
    proof = x509.load_pem_x509_certificate(path.read_bytes())
    assert certificates.subject(proof) == CODE
    recorded = registry.certificate(certificates.serial(proof))
    assert recorded is not None
    assert recorded.kind == "other"
    assert recorded.not_after - datetime.now(UTC) <= timedelta(days=1)


@pytest.mark.parametrize(
    ("code", "secret"), [("no code!", desk.PASSPHRASE), (CODE, b"incorrect horse")]
)
def test_without_a_code_or_the_passphrase_nothing_is_signed(
    made: Project, registry: Registry, tmp_path: Path, code: str, secret: bytes
) -> None:
    before = list(registry.certificates())
    done = export(made, "azure-dps", tmp_path / "out", "--code", code, secret=secret)
    assert isinstance(done.exception, Error)
    assert not (tmp_path / "out").exists()
    assert list(registry.certificates()) == before


def test_only_a_proof_asks_for_the_passphrase(made: Project, tmp_path: Path) -> None:
    """There is no terminal here, and no descriptor: asking would fail."""
    assert export(made, "azure-dps", tmp_path / "a").exit_code == 0
    done = export(made, "azure-dps", tmp_path / "b", "--code", CODE)
    assert isinstance(done.exception, Error)
    assert "passphrase" in done.exception.message


def test_a_disk_that_takes_no_more_leaves_nothing(
    made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.fsync, []

    def full(handle: int) -> None:
        written.append(handle)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    done = export(made, "mosquitto", tmp_path / "out", "--with-key")
    assert isinstance(done.exception, Error)
    assert [path.name for path in tmp_path.iterdir()] == ["greenhouse"]
