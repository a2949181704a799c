"""`firmshake ca audit` finds what lets in whom it should not: lists, the broker's files, modes.

Each test changes one thing in a copy of a project that the audit finds in order.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import FD, run

import firmshake
from firmshake import brokerconfig, project
from firmshake.ca import certificate as certificates
from firmshake.ca import crlfile, store
from firmshake.ca.certificate import Issuer
from firmshake.ca.crl import Revoked
from firmshake.newproject import new_project
from firmshake.project import Broker
from firmshake.registry import Issued, Registry

PHRASE = b"correct horse"
NOW = datetime.now(UTC)
# what stands on the pattern's list, in the order of issue
REVOKED = ("pump", "lamp")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two revoked devices of three, and a foreign one beside it."""
    folder = tmp_path_factory.mktemp("pattern")
    for name in ("greenhouse", "foreign"):
        made = new_project(
            folder / name,
            broker=Broker("127.0.0.1", 8883, "mqtt.example"),
            passphrase=PHRASE,
            now=NOW - timedelta(days=1),
            name="greenhouse",
        )
        registry = Registry.open(made.registry_path)
        authority = project.open_authority(made, PHRASE)
        for device_id in ("pump", "valve", "lamp"):
            registry.record_issued(device_id, authority.issue(device_id, now=NOW).certificate)
    words = ("--project", folder / "greenhouse", "--passphrase-fd", FD)
    revoke = ("ca", "revoke", *REVOKED, "--reason", "keyCompromise", "--yes")
    assert run(*revoke, *words, secrets=(PHRASE,)).status == 0
    # in its copies too, which are the same to the byte and the mode
    assert _causes(folder / "greenhouse") == []
    return folder


@pytest.fixture
def made(pattern: Path, tmp_path: Path) -> Path:
    """A copy of the project, which the audit finds in order."""
    return Path(shutil.copytree(pattern / "greenhouse", tmp_path / "greenhouse"))


def _audit(folder: Path) -> list[dict[str, str]]:
    done = run("ca", "audit", "--json", "--project", folder)
    found = [one for one in json.loads(done.out)["findings"] if one["cause"] != "root_online"]
    assert done.status == any(one["severity"] != "note" for one in found)
    assert all(one["fix"] for one in found)
    return list(found)


def _causes(folder: Path) -> list[str]:
    return [one["cause"] for one in _audit(folder)]


def _one(folder: Path, severity: str, cause: str) -> str:
    """The sentence of the one thing that the audit finds."""
    found = _audit(folder)
    assert [(one["severity"], one["cause"]) for one in found] == [(severity, cause)], found
    return found[0]["what"]


def _sql(folder: Path, statement: str, *given: object) -> None:
    connection = sqlite3.connect(folder / "registry.sqlite")
    with connection:
        connection.execute(statement, given)
    connection.close()


def _sign(folder: Path, names: Sequence[str], number: int, by: Path | None = None) -> None:
    """Put a list of these devices in the place of the issuing CA's, in ca/ and broker/."""
    authority = project.open_authority(project.load(by or folder), PHRASE)
    registry = Registry.open(folder / "registry.sqlite")
    rows = [next(registry.certificates(device_id=name)) for name in names]
    at = NOW - timedelta(minutes=1)
    path = folder / "ca/intermediate.crl"
    crlfile.write(
        path,
        Issuer(authority.key, authority.certificate),
        [Revoked(int(row.serial_number, 16), at, "keyCompromise") for row in rows],
        number=number,
        this_update=NOW - timedelta(hours=1),
        next_update=NOW + timedelta(days=30),
    )
    content = path.read_bytes() + (folder / "ca/root.crl").read_bytes()
    (folder / "broker/crl.pem").write_bytes(content)


def test_every_cause_stands_in_the_documentation() -> None:
    folder = Path(firmshake.__file__).parent
    names = ("audit.py", "listaudit.py", "brokeraudit.py", "modeaudit.py")
    text = "".join((folder / name).read_text() for name in names)
    causes = set(re.findall(r'(?:Finding\([^"()]*|_CHANGED = )"([a-z_]+)"', text))
    table = (Path(__file__).parents[2] / "docs/ca.md").read_text()
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {one for row in rows for one in re.findall(r"`([a-z]+_?[a-z_]*)`", row)}
    assert len(causes) > 15
    assert causes <= told


# what stands on the lists


def test_a_list_of_the_same_content_that_the_ca_signed_again_is_in_order(made: Path) -> None:
    _sign(made, REVOKED, number=2)
    assert _causes(made) == []


@pytest.mark.parametrize("left", [("pump",), ("lamp",), ()])
def test_a_list_that_lacks_a_revoked_device(made: Path, left: tuple[str, ...]) -> None:
    """With the CA's own signature and the right number: only its entries tell."""
    _sign(made, left, number=2)
    what = _one(made, "wrong", "list_wrong")
    assert f"lacks {2 - len(left)} of what was revoked" in what


def test_a_list_that_names_a_device_that_is_good(made: Path) -> None:
    _sign(made, ("pump", "valve", "lamp"), number=2)
    row = next(Registry.open(made / "registry.sqlite").certificates(device_id="valve"))
    what = _one(made, "wrong", "list_wrong")
    assert "names 1 that the registry does not call revoked" in what
    assert row.serial_number in what


def test_a_list_that_another_ca_signed(made: Path, pattern: Path) -> None:
    """It has the name, the number and the dates of ours."""
    _sign(made, REVOKED, number=2, by=pattern / "foreign")
    assert "was not signed by" in _one(made, "wrong", "bad_signature")


def test_a_list_of_another_ca_at_the_broker_alone(made: Path, pattern: Path) -> None:
    before = (made / "ca/intermediate.crl").read_bytes()
    _sign(made, REVOKED, number=2, by=pattern / "foreign")
    (made / "ca/intermediate.crl").write_bytes(before)
    found = _audit(made)
    assert [one["cause"] for one in found] == ["list_outdated", "bad_signature"]
    assert "crl.pem, part 1, is no list of a CA that counts" in found[1]["what"]


def test_a_list_at_the_broker_without_those_that_were_revoked_long_before(made: Path) -> None:
    early = "UPDATE certificates SET revoked_at = ? WHERE revoked_at IS NOT NULL"
    _sql(made, early, "2020-01-01T00:00:00+00:00")
    before = (made / "ca/intermediate.crl").read_bytes()
    _sign(made, ("pump",), number=2)
    (made / "ca/intermediate.crl").write_bytes(before)
    found = [one["what"] for one in _audit(made) if one["cause"] == "list_wrong"]
    assert any("crl.pem, part 1, lacks 1 of what was revoked" in what for what in found)


def test_a_list_that_is_newer_than_the_registry_knows(made: Path) -> None:
    """As where a copy of the registry of the day before was put back."""
    _sign(made, REVOKED, number=3)
    what = _one(made, "wrong", "registry_outdated")
    assert "is list 3, and the registry knows of 2 at most: it is an old copy" in what


def test_a_revoked_one_that_has_expired_need_not_stand_on_the_list(made: Path) -> None:
    ended = "UPDATE certificates SET not_after = ? WHERE subject = 'pump'"
    _sql(made, ended, "2020-01-01T00:00:00+00:00")
    _sign(made, ("lamp",), number=2)
    assert "list_wrong" not in _causes(made)


def test_where_a_list_counts_from_is_held_against_the_log(made: Path) -> None:
    _sql(made, "UPDATE crls SET this_update = '2026-01-01T00:00:00+00:00' WHERE number = 2")
    assert "counts from" in _one(made, "wrong", "log_mismatch")


def test_a_fifo_in_the_place_of_a_file_keeps_nobody_waiting(made: Path) -> None:
    for name in ("ca/intermediate.crl", "broker/crl.pem", "broker/ca.crt", "broker/broker.pem"):
        content = (made / name).read_bytes()
        (made / name).unlink()
        os.mkfifo(made / name, 0o600)
        assert _causes(made)
        (made / name).unlink()
        (made / name).write_bytes(content)
        (made / name).chmod(0o600)
    assert _causes(made) == []


# CAs


def test_the_ca_that_issues_was_revoked(made: Path) -> None:
    registry = Registry.open(made / "registry.sqlite")
    row = next(registry.certificates(kind="intermediate"))
    registry.revoke([row.serial_number], "cACompromise")
    found = {one["cause"]: one for one in _audit(made)}
    assert found["revoked_ca"]["severity"] == "wrong"
    assert "the CA that issues, was revoked on" in found["revoked_ca"]["what"]


def test_a_good_ca_that_is_not_named_is_told_and_its_files_are_not_called_stray(made: Path) -> None:
    before = (made / "ca/ca.toml").read_bytes()
    words = ("--project", made, "--passphrase-fd", FD, "--root-passphrase-fd", FD)
    assert run("ca", "intermediate", *words, secrets=(PHRASE, PHRASE)).status == 0
    assert _causes(made) == []
    (made / "ca/ca.toml").write_bytes(before)
    found = _audit(made)
    assert "stray_file" not in [one["cause"] for one in found]
    told = next(one for one in found if one["cause"] == "unnamed_ca")
    own = store.certificate(made / "ca", store.Place("intermediate-2.crt", ""))
    assert told["severity"] == "warning"
    assert certificates.serial(own) in told["what"]
    command = told["fix"].partition("firmshake ")[2].split()
    assert command[:3] == ["ca", "revoke", certificates.serial(own)]
    assert run(*command, "--yes", *words, secrets=(PHRASE, PHRASE)).status == 0
    after = _audit(made)
    assert {one["cause"] for one in after} == {"stray_file"}
    assert len(after) == 3


# the registry's file


def test_a_device_id_at_a_certificate_that_is_no_devices(made: Path) -> None:
    """`ca revoke` of that device would take the broker's certificate with it."""
    _sql(made, "UPDATE certificates SET device_id = 'valve' WHERE kind = 'broker'")
    assert "is a broker's, and the registry gives it to" in _one(made, "wrong", "log_mismatch")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TRIGGER log_no_update", "lacks the trigger log_no_update"),
        ("DROP INDEX certificates_revoked", "lacks the index certificates_revoked"),
        ("CREATE TABLE more (id INTEGER)", "has a table more, which firmshake does not make"),
        (
            "CREATE TRIGGER quiet AFTER INSERT ON log BEGIN DELETE FROM crls; END",
            "has a trigger quiet, which firmshake does not make",
        ),
        ("ALTER TABLE crls ADD COLUMN more TEXT", "table crls is not as firmshake makes it"),
    ],
)
def test_a_registry_of_another_structure(made: Path, statement: str, words: str) -> None:
    _sql(made, statement)
    assert words in _one(made, "wrong", "schema_altered")


def test_a_trigger_of_the_right_name_that_does_nothing(made: Path) -> None:
    _sql(made, "DROP TRIGGER log_no_delete")
    _sql(made, "CREATE TRIGGER log_no_delete BEFORE DELETE ON log BEGIN SELECT 1; END")
    assert "trigger log_no_delete is not as" in _one(made, "wrong", "schema_altered")


# what the broker trusts


def test_a_broker_that_trusts_another_ca_too(made: Path, pattern: Path) -> None:
    with (made / "broker/ca.crt").open("ab") as stream:
        stream.write((pattern / "foreign/ca/root.crt").read_bytes())
    assert "the broker trusts 'CN=" in _one(made, "wrong", "wrong_anchor")


def test_a_broker_that_trusts_another_ca_alone(made: Path, pattern: Path) -> None:
    shutil.copy2(pattern / "foreign/ca/root.crt", made / "broker/ca.crt")
    found = _audit(made)
    assert [(one["severity"], one["cause"]) for one in found] == [("wrong", "wrong_anchor")] * 2
    assert "does not trust the project's root" in found[0]["what"]


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"nothing")])
def test_what_the_broker_trusts_is_missing_or_damaged(made: Path, harm: object) -> None:
    assert callable(harm)
    harm(made / "broker/ca.crt")
    assert "ca.crt is missing or damaged" in _one(made, "wrong", "file_missing")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("crlfile crl.pem", "#crlfile crl.pem", "the line 'crlfile crl.pem' is missing"),
        ("crlfile crl.pem", "crlfile old.pem", "is 'crlfile old.pem', and was 'crlfile crl.pem'"),
        ("require_certificate true", "require_certificate false", "'require_certificate false'"),
        ("use_identity_as_username true", "", "'use_identity_as_username true' is missing"),
        ("acl_file acl", "", "the line 'acl_file acl' is missing"),
        ("acl_file acl", "acl_file acl\nallow_anonymous true", "'allow_anonymous true', and was"),
        ("acl_file acl", "acl_file acl\nlistener 1883", "'listener 1883', was not there"),
        ("acl_file acl", "acl_file acl\ncapath /etc/ssl/certs", "'capath /etc/ssl/certs', was not"),
    ],
)
def test_a_broker_that_was_configured_otherwise(made: Path, old: str, new: str, words: str) -> None:
    path = made / "broker/mosquitto.conf"
    text = path.read_text()
    assert f"\n{old}\n" in text
    path.write_text(text.replace(f"\n{old}\n", f"\n{new}\n"))
    assert words in _one(made, "warning", "config_changed")


def test_a_brokers_files_in_another_folder_and_a_setting_of_ones_own_are_in_order(
    made: Path,
) -> None:
    path = made / "broker/mosquitto.conf"
    text = path.read_text().replace("crlfile crl.pem", "crlfile /etc/mosquitto/crl.pem")
    path.write_text(text + "persistence true\n")
    assert _causes(made) == []


def test_a_broker_whose_configuration_is_elsewhere_is_in_order(made: Path) -> None:
    (made / "broker/mosquitto.conf").unlink()
    (made / "broker/acl").unlink()
    assert _causes(made) == []


def test_a_right_that_was_added(made: Path) -> None:
    path = made / "broker/acl"
    path.write_text(path.read_text() + "topic readwrite #\n")
    assert "'topic readwrite #', was not there" in _one(made, "warning", "config_changed")
    path.write_text("# nothing\n")
    assert "devices/%u/#' is missing" in _one(made, "warning", "config_changed")


def test_rules_without_the_watcher_are_in_order_and_half_of_its_own_are_not(made: Path) -> None:
    """Without the refusal beside its right to read, it could write on topics of its own."""
    path = made / "broker/acl"
    path.write_text(brokerconfig.DEVICES_ACL)  # a project from before there was one
    assert _causes(made) == []
    path.write_text(brokerconfig.ACL.replace("topic deny", "# topic deny"))
    assert "'topic deny devices/_fleet-watch/#' is missing" in _one(
        made, "warning", "config_changed"
    )


# modes


@pytest.mark.parametrize("name", ["ca", "broker"])
def test_a_folder_that_is_open_to_others(made: Path, name: str) -> None:
    for mode, severity, cause in (
        (0o755, "warning", "readable_by_others"),
        (0o770, "wrong", "writable_by_others"),
    ):
        (made / name).chmod(mode)
        assert str(made / name) in _one(made, severity, cause)
    (made / name).chmod(0o700)
    assert _causes(made) == []


@pytest.mark.parametrize(
    "name",
    [
        *("profiles.toml", "ca/ca.toml", "ca/root.crt", "ca/intermediate.crt"),
        *("broker/ca.crt", "broker/crl.pem", "broker/mosquitto.conf", "broker/acl"),
    ],
)
def test_a_file_that_others_can_change(made: Path, name: str) -> None:
    (made / name).chmod(0o664)
    assert str(made / name) in _one(made, "wrong", "writable_by_others")
    (made / name).chmod(0o644)
    assert _causes(made) == []


def test_the_settings_that_others_can_read(made: Path) -> None:
    """Which is worse where the Wi-Fi's password stands in them."""
    path = made / "fleet.toml"
    path.chmod(0o644)
    assert str(path) in _one(made, "warning", "readable_by_others")
    path.write_text(path.read_text() + '\n[wifi]\nssid = "home"\npassword = "secret words"\n')
    assert str(path) in _one(made, "wrong", "readable_by_others")
    path.chmod(0o600)
    assert _causes(made) == []


def test_a_name_from_elsewhere_moves_no_cursor(made: Path) -> None:
    authority = project.open_authority(project.load(made), PHRASE)
    other = authority.issue_broker(["a.example"], now=NOW).certificate
    registry = Registry.open(made / "registry.sqlite")
    registry.record(Issued("other", other))
    _sql(made, "UPDATE certificates SET subject = ? WHERE kind = 'other'", "a\x1b[2Jb")
    done = run("ca", "audit", "--project", made)
    assert "\x1b" not in done.out
    assert "a\\x1b[2Jb" in done.out
