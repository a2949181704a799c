"""What was revoked stays revoked: whatever the clock, another process or an old copy does."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from support.commands import FD, Done, run

from firmshake import exclusive, project, revocation
from firmshake.ca import crlfile, lists, store
from firmshake.errors import Error
from firmshake.newproject import new_project
from firmshake.project import Broker, Project, open_authority
from firmshake.registry import Issued, Registry

PHRASE = b"quiet lamp over water"
NOW = datetime.now(UTC)


@pytest.fixture
def made(tmp_path: Path) -> Project:
    broker = Broker("mqtt.example", 8883, "mqtt.example")
    made = new_project(tmp_path / "p", broker=broker, passphrase=PHRASE, now=NOW, ntp=())
    registry = Registry.open(made.registry_path)
    identity = open_authority(made, PHRASE).issue("lamp", now=NOW)
    registry.record_issued("lamp", identity.certificate)
    return made


def ca(made: Project, *words: object, fds: int = 1) -> Done:
    options = ["--passphrase-fd", FD] if fds else []
    if fds == 2:
        options += ["--root-passphrase-fd", FD]
    return run("ca", *words, "--project", made.root, *options, secrets=(PHRASE,) * fds)


def revoke(made: Project, name: str = "lamp", reason: str = "keyCompromise", fds: int = 1) -> Done:
    return ca(made, "revoke", name, "--reason", reason, "--yes", fds=fds)


def listed(made: Project) -> int:
    found = x509.load_pem_x509_crl((made.broker_folder / lists.GATHERED).read_bytes())
    return len(found)


def _published(made: Project, now: datetime) -> None:
    registry = Registry.open(made.registry_path, clock=lambda: now)
    revocation.publish(made, registry, lambda place: PHRASE, now=now)


def test_a_clock_that_was_wrong_once_takes_nothing_off_the_list(made: Project) -> None:
    assert revoke(made).status == 0
    assert listed(made) == 1
    _published(made, NOW + timedelta(days=365 * 12))
    _published(made, NOW + timedelta(hours=1))
    assert listed(made) == 1


def test_what_has_expired_stands_on_one_more_list_and_then_on_none(made: Project) -> None:
    assert revoke(made).status == 0
    after = NOW + timedelta(days=3660)
    _published(made, after)
    assert listed(made) == 1
    _published(made, after + timedelta(days=2))
    assert listed(made) == 0


def test_an_old_copy_of_the_registry_signs_no_list(made: Project, tmp_path: Path) -> None:
    old = Path(shutil.copy(made.registry_path, tmp_path / "old.sqlite"))
    assert revoke(made).status == 0
    shutil.copy(old, made.registry_path)
    result = ca(made, "crl")
    assert "it is an old copy" in result.message
    assert listed(made) == 1


def test_one_command_at_a_time_changes_the_ca(made: Project) -> None:
    before = store.read(made.ca_folder)
    with exclusive.folder(made.ca_folder):
        for words in (["crl"], ["broker"], ["intermediate"]):
            assert "another firmshake writes to" in ca(made, *words).message
        assert "another firmshake writes to" in revoke(made).message
    assert store.read(made.ca_folder) == before
    assert Registry.open(made.registry_path).certificates(device_id="lamp")
    assert revoke(made).status == 0


def test_a_retired_key_that_is_elsewhere_stops_no_revocation(made: Project) -> None:
    assert ca(made, "intermediate", fds=2).status == 0
    authority = open_authority(made, PHRASE)
    registry = Registry.open(made.registry_path)
    registry.record_issued("pump", authority.issue("pump", now=datetime.now(UTC)).certificate)
    (made.ca_folder / "intermediate.key").rename(made.root / "away.key")
    result = revoke(made, "pump")
    assert result.status == 1
    assert "is not signed, and stays as it was" in result.message
    row = registry.device("pump")
    assert row is not None
    assert row.certificate is not None
    assert row.certificate.reason == "keyCompromise"
    number = crlfile.read_number(made.ca_folder / "intermediate-2.crl")
    assert number is not None
    assert number > 1
    # and the CA itself can be revoked: its list is no longer needed
    old = next(registry.certificates(kind="intermediate")).serial_number
    assert revoke(made, old, "cACompromise", fds=2).status == 0


def test_a_key_that_somebody_has_is_neither_kept_nor_left_with_another_ca(made: Project) -> None:
    registry = Registry.open(made.registry_path)
    assert ca(made, "intermediate", "--keep-key", fds=2).status == 0
    first, second = registry.certificates(kind="intermediate")
    result = revoke(made, first.serial_number, "cACompromise", fds=2)
    assert "has the key of a CA that goes on" in result.message
    assert registry.certificate(first.serial_number) == first
    assert ca(made, "intermediate", fds=2).status == 0
    both = (first.serial_number, second.serial_number)
    words = ("revoke", *both, "--reason", "cACompromise", "--yes")
    assert ca(made, *words, fds=2).status == 0


def test_a_revoked_ca_issues_nothing(made: Project) -> None:
    old = (made.ca_folder / store.FILE).read_bytes()
    retired = open_authority(made, PHRASE)
    registry = Registry.open(made.registry_path)
    serial = next(registry.certificates(kind="intermediate")).serial_number
    assert ca(made, "intermediate", fds=2).status == 0
    assert revoke(made, serial, "superseded", fds=2).status == 0
    identity = retired.issue("pump", now=datetime.now(UTC))
    with pytest.raises(Error, match="the CA that issues was revoked"):
        registry.record_issued("pump", identity.certificate)
    assert registry.device("pump") is None
    (made.ca_folder / store.FILE).write_bytes(old)
    assert "was revoked on" in ca(made, "issue", "pump", "--out", made.root / "out").message


def test_the_ca_that_issues_is_not_revoked(made: Project) -> None:
    serial = next(Registry.open(made.registry_path).certificates(kind="intermediate")).serial_number
    assert "is that of the CA that issues" in revoke(made, serial, fds=2).message


def test_a_clock_before_the_ca_revokes_nothing(
    made: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firmshake.cli.ca import revoke as module

    class Early(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2020, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(module, "datetime", Early)
    assert "set this computer's clock" in revoke(made).hint
    row = Registry.open(made.registry_path).device("lamp")
    assert row is not None
    assert row.certificate is not None
    assert row.certificate.revoked_at is None


def test_what_is_written_keeps_its_own_certificate(made: Project) -> None:
    """Somebody signed another one for the same device meanwhile."""
    registry = Registry.open(made.registry_path)
    authority = open_authority(made, PHRASE)
    mine, later = (authority.issue("lamp", now=NOW).certificate for _ in range(2))
    registry.record_issued("lamp", mine)
    registry.record_issued("lamp", later)
    own = f"{mine.serial_number:x}"
    registry.set_state("lamp", "written", serial_number=own.zfill(len(own) + len(own) % 2))
    reasons = [one.reason for one in registry.certificates(device_id="lamp")]
    assert reasons == ["superseded", None, None]


def test_a_serial_number_that_no_list_can_hold_is_not_revoked(made: Project) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    registry = Registry.open(made.registry_path)
    identity = open_authority(made, PHRASE).issue("odd", now=NOW, key=key)
    registry.record(Issued("device", identity.certificate, "odd"))
    long = "ff" * 20
    with sqlite3.connect(made.registry_path) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(
            "UPDATE certificates SET serial_number = ? WHERE device_id = 'odd'", (long,)
        )
    assert "can't stand in a revocation list" in revoke(made, long).message
    assert revoke(made).status == 0


def test_git_keeps_no_key(made: Project) -> None:
    ignored = (made.root / ".gitignore").read_text().splitlines()
    assert {"*.key", "broker.pem", "*.p12", "fleet.toml"} <= set(ignored)
    assert project.load(made.root)
