"""What the CA's commands print: their help, and what a terminal of 80 columns holds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.commands import FD, run

from firmshake import project
from firmshake.ca.certificate import Issuer
from firmshake.cli.ca import COMMANDS
from firmshake.newproject import new_project
from firmshake.project import Broker, Project
from firmshake.registry import Issued, Registry

PHRASE = b"correct horse"
NOW = datetime.now(UTC)
COLUMNS = 80


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in a folder of a short name, of all kinds of certificates and all their states."""
    folder = tmp_path_factory.mktemp("p") / "greenhouse"
    broker = Broker("127.0.0.1", 8883, "mqtt.example")
    made = new_project(folder, broker=broker, passphrase=PHRASE, now=NOW)
    registry, authority = Registry.open(made.registry_path), project.open_authority(made, PHRASE)
    for device_id in ("greenhouse-a0b1c2d3e4f5", "greenhouse-000000000001"):
        registry.record_issued(device_id, authority.issue(device_id, now=NOW).certificate)
    words = ("--project", folder, "--passphrase-fd", FD)
    revoke = ("greenhouse-a0b1c2d3e4f5", "--reason", "cessationOfOperation", "--yes")
    assert run("ca", "revoke", *revoke, *words, secrets=(PHRASE,)).status == 0
    renewed = run(
        *("ca", "intermediate", *words, "--root-passphrase-fd", FD), secrets=(PHRASE, PHRASE)
    )
    assert renewed.status == 0
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str) -> None:
    done = run("ca", name, "--help")
    assert (done.status, done.err) == (0, "")
    assert len(done.out.splitlines()[2].split()) >= 3
    assert max(map(len, done.out.splitlines())) <= COLUMNS


def test_the_group_names_every_command() -> None:
    out = run("ca", "--help").out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize(
    "words",
    [("show",), ("list",), ("list", "--revoked"), ("expiring", "--within", "90y"), ("audit",)],
)
def test_what_is_read_fits_into_80_columns(
    made: Project, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(made.root)
    done = run("ca", *words)
    assert done.status == 0
    assert done.out
    # what a finding says is prose, and may be longer
    lines = [line for line in done.out.splitlines() if not line.startswith(("note ", " " * 9))]
    assert [line for line in lines if len(line) > COLUMNS] == []


def test_a_serial_number_of_the_list_is_what_revoke_takes(made: Project) -> None:
    out = run("ca", "list", "--project", made.root, "--kind", "device").out.splitlines()
    record = Registry.open(made.registry_path).certificate(out[-1].strip())
    assert record is not None
    assert record.subject == "greenhouse-000000000001"
    assert out[-2].startswith("device       greenhouse-000000000001")


def test_a_name_from_elsewhere_moves_no_cursor(made: Project, tmp_path: Path) -> None:
    from cryptography import x509

    from firmshake.ca import certificate as certificates
    from firmshake.ca import profiles

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a\x1b[2Jb")])
    key = certificates.new_key(profiles.load().device)
    authority = project.open_authority(made, PHRASE)
    above = Issuer(authority.key, authority.certificate)
    valid = certificates.window(profiles.load().device, NOW)
    odd = certificates.signed(profiles.load().device, name, [], key.public_key(), valid, above)
    Registry.open(made.registry_path).record(Issued("other", odd))
    for words in (("list",), ("expiring", "--within", "90y"), ("show",)):
        done = run("ca", *words, "--project", made.root)
        assert "\x1b" not in done.out
        assert done.status == 0
    assert "a\\x1b[2Jb" in run("ca", "list", "--project", made.root).out


def test_the_profiles_that_are_printed_are_those_that_init_takes(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(run("ca", "profiles").out)
    words = ("--broker", "a", "--profiles", tmp_path / "mine.toml", "--passphrase-fd", FD)
    assert run("init", tmp_path / "a", *words, secrets=(PHRASE,)).status == 0
    assert (tmp_path / "a/profiles.toml").read_text() == run("ca", "profiles").out
    changed = run("ca", "profiles").out.replace("validity_days = 397", "validity_days = 30")
    (tmp_path / "mine.toml").write_text(changed)
    assert run("init", tmp_path / "b", *words, secrets=(PHRASE,)).status == 0
    found = run("ca", "expiring", "--project", tmp_path / "b", "--within", "31d").out
    assert found.startswith("broker ")


def test_a_root_passphrase_from_a_descriptor_is_the_roots_alone(tmp_path: Path) -> None:
    words = ("init", tmp_path / "a", "--broker", "a", "--passphrase-fd", FD)
    other = b"battery staple"
    assert run(*words, "--root-passphrase-fd", FD, secrets=(PHRASE, other)).status == 0
    crl = ("ca", "crl", "--root", "--project", tmp_path / "a", "--passphrase-fd", FD)
    fds = ("--root-passphrase-fd", FD)
    assert "wrong passphrase" in run(*crl, *fds, secrets=(PHRASE, PHRASE)).message
    assert run(*crl, *fds, secrets=(PHRASE, other)).status == 0
