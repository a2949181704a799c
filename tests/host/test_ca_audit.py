"""`firmshake ca audit` finds each way in which registry, log or files were tampered with.

Each test tampers with one thing in a copy of a project that the audit finds in order.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.commands import FD, run

from firmshake import project
from firmshake.ca import certificate as certificates
from firmshake.newproject import new_project
from firmshake.project import Broker
from firmshake.registry import Registry
from firmshake.registry.log import GENESIS, link

PHRASE = b"correct horse"
NOW = datetime.now(UTC)
FOREIGN = "foreign"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project that has lived a little, and a foreign one of the same name."""
    folder = tmp_path_factory.mktemp("pattern")
    for name in ("greenhouse", FOREIGN):
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
            issued = authority.issue(device_id, now=NOW).certificate
            registry.record_issued(device_id, issued)
        words = ("--project", made.root, "--passphrase-fd", FD)
        renewed = run(
            *("ca", "intermediate", *words, "--root-passphrase-fd", FD), secrets=(PHRASE,) * 2
        )
        assert renewed.status == 0
        shutil.copy2(made.broker_folder / "crl.pem", folder / f"{name}.old.pem")
        revoke = ("ca", "revoke", "pump", "--reason", "keyCompromise", "--yes")
        assert run(*revoke, *words, secrets=(PHRASE,)).status == 0
    # in its copies too, which are the same to the byte and the mode
    status, found, _ = _audit(folder / "greenhouse")
    assert (status, [one["cause"] for one in found]) == (0, ["root_online"])
    return folder


@pytest.fixture
def made(pattern: Path, tmp_path: Path) -> Path:
    """A copy of the project, which the audit finds in order."""
    return Path(shutil.copytree(pattern / "greenhouse", tmp_path / "greenhouse"))


Found = list[dict[str, str]]


def _audit(folder: Path, *words: object) -> tuple[int, Found, str]:
    """The audit's exit status, its findings, and the log's head."""
    done = run("ca", "audit", "--json", "--project", folder, *words)
    said = json.loads(done.out)
    people = run("ca", "audit", "--project", folder, *words)
    assert people.status == done.status
    assert all(one["what"] in people.out for one in said["findings"])
    return done.status, said["findings"], said["head"]


def _one(folder: Path, cause: str, *words: object) -> str:
    """The sentence of the one thing of that cause that the audit finds, with exit status 1."""
    status, found, _ = _audit(folder, *words)
    mine = [one for one in found if one["cause"] != "root_online"]
    assert status == 1
    assert [one["cause"] for one in mine] == [cause], found
    assert mine[0]["fix"]
    return mine[0]["what"]


def _several(folder: Path, *causes: str) -> list[str]:
    """The sentences of the things that the audit finds, which must be of these causes."""
    status, found, _ = _audit(folder)
    mine = [one for one in found if one["cause"] != "root_online"]
    assert (status, [one["cause"] for one in mine]) == (1, [*causes]), found
    return [one["what"] for one in mine]


def _sql(folder: Path, *statements: str, given: tuple[object, ...] = ()) -> list[Any]:
    connection = sqlite3.connect(folder / "registry.sqlite")
    with connection:
        rows = [connection.execute(text, given).fetchall() for text in statements]
    connection.close()
    return rows[-1]


def _free_sql(folder: Path, *statements: str, given: tuple[object, ...] = ()) -> None:
    """Change the log as somebody does who takes its triggers away, and puts them back."""
    triggers = [
        text for (text,) in _sql(folder, "SELECT sql FROM sqlite_master WHERE type='trigger'")
    ]
    _sql(folder, "DROP TRIGGER log_no_update", "DROP TRIGGER log_no_delete")
    _sql(folder, *statements, given=given)
    _sql(folder, *triggers)


# the log


@pytest.mark.parametrize("statement", ["UPDATE log SET entry = ''", "DELETE FROM log"])
def test_the_registry_itself_refuses_to_change_the_log(made: Path, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        _sql(made, statement)
    assert _audit(made)[0] == 0


def test_a_changed_entry(made: Path) -> None:
    change = "UPDATE log SET entry = replace(entry, 'keyCompromise', 'superseded')"
    _free_sql(made, change)
    found = [one["what"] for one in _audit(made)[1] if one["cause"] == "log_mismatch"]
    assert any("was changed" in what for what in found)
    assert any("was revoked as superseded" in what for what in found)


def test_an_entry_that_was_taken_out(made: Path) -> None:
    _free_sql(made, "DELETE FROM log WHERE seq = 4")
    found = [one["what"] for one in _audit(made)[1] if one["cause"] == "log_mismatch"]
    assert "the log: entry 4 is missing" in found


def test_the_last_entry_taken_out(made: Path) -> None:
    _free_sql(made, "DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)")
    assert "the log lacks the revocation list" in _one(made, "log_mismatch")


def test_the_last_entry_and_what_it_tells_of_taken_out_is_found_by_the_head(made: Path) -> None:
    """Nothing in the file can tell that anything came after: a note of the head can."""
    head = _audit(made)[2]
    assert _audit(made, "--head", head)[0] == 0
    _free_sql(
        made,
        "DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)",
        "DELETE FROM crls WHERE id = (SELECT max(id) FROM crls)",
    )
    assert "log_replaced" in [one["cause"] for one in _audit(made, "--head", head)[1]]


@pytest.mark.parametrize(
    "entry",
    ["", "[]", "null", "{", '{"seq":4}', '{"event":"crl","number":"x","seq":4}', "[" * 9999],
)
def test_an_entry_that_is_none(made: Path, entry: str) -> None:
    _free_sql(made, "UPDATE log SET entry = ? WHERE seq = 4", given=(entry,))
    found = [one["what"] for one in _audit(made)[1] if one["cause"] == "log_mismatch"]
    assert any(what.startswith("the log: entry 4") for what in found)


def _rewrite(folder: Path, change: Callable[[str], str]) -> None:
    """Write the whole log anew, with hashes that hold."""
    before = GENESIS
    for seq, text in _sql(folder, "SELECT seq, entry FROM log ORDER BY seq"):
        changed = change(text)
        before = link(before, changed)
        _free_sql(
            folder,
            "UPDATE log SET entry = ?, sha256 = ? WHERE seq = ?",
            given=(changed, before, seq),
        )


def test_a_log_that_was_written_anew_is_found_by_the_head_and_by_nothing_else(made: Path) -> None:
    head = _audit(made)[2]
    assert _audit(made, "--head", head)[0] == 0
    _rewrite(made, lambda text: text.replace("keyCompromise", "cessationOfOperation"))
    _sql(made, "UPDATE certificates SET reason = 'cessationOfOperation' WHERE subject = 'pump'")
    assert _audit(made)[0] == 0
    assert "the log was written anew" in _one(made, "log_replaced", "--head", head)


def test_a_forged_certificate_with_its_entry_in_a_log_written_anew(
    made: Path, pattern: Path
) -> None:
    """Row and log say the same; the signature does not."""
    theirs = Registry.open(pattern / FOREIGN / "registry.sqlite")
    record = next(theirs.certificates(device_id="valve"))
    body = theirs.body(record.serial_number)
    ours = next(Registry.open(made / "registry.sqlite").certificates(device_id="valve"))
    assert body is not None
    swap = {
        ours.serial_number: record.serial_number,
        ours.fingerprint_sha256: record.fingerprint_sha256,
        ours.issuer: record.issuer,
    }
    line = next(t for (t,) in _sql(made, "SELECT entry FROM log") if ours.serial_number in t)
    forged = line
    for old, new in swap.items():
        forged = forged.replace(old, new)
    _sql(
        made,
        "UPDATE certificates SET serial_number = ?, fingerprint_sha256 = ?, issuer = ?, der = ?"
        " WHERE serial_number = ?",
        given=(*swap.values(), certificates.der(body), ours.serial_number),
    )
    _rewrite(made, lambda text: forged if text == line else text)
    assert "no CA of the registry has signed the certificate" in _one(made, "log_mismatch")


# rows


def test_a_certificate_that_was_put_in(made: Path, pattern: Path) -> None:
    other = pattern / FOREIGN / "registry.sqlite"
    columns = "serial_number, fingerprint_sha256, kind, subject, device_id, issuer, der,"
    columns += " not_before, not_after, issued_at"
    connection = sqlite3.connect(made / "registry.sqlite")
    connection.execute("ATTACH ? AS other", (str(other),))
    with connection:
        connection.execute(
            f"INSERT INTO certificates ({columns})"
            f" SELECT {columns} FROM other.certificates WHERE subject = 'lamp'"
        )
    connection.close()
    assert "the log does not tell of the certificate" in _one(made, "log_mismatch")


def test_a_certificate_that_was_taken_out(made: Path) -> None:
    _sql(
        made,
        "DELETE FROM history WHERE device_id = 'lamp'",
        "DELETE FROM certificates WHERE subject = 'lamp'",
    )
    assert "the registry lacks the certificate" in _one(made, "log_mismatch")


@pytest.mark.parametrize(
    "change",
    [
        "not_after = '2099-01-01T00:00:00+00:00'",
        "not_before = '2020-01-01T00:00:00+00:00'",
        "issued_at = '2020-01-01T00:00:00+00:00'",
        "subject = 'other'",
        "device_id = 'valve'",
        "kind = 'broker'",
        "issuer = 'aabb'",
        "fingerprint_sha256 = 'aabb'",
        "der = x'3000'",
        "der = (SELECT der FROM certificates WHERE subject = 'valve')",
    ],
)
def test_a_field_of_a_certificate_that_was_altered(made: Path, change: str) -> None:
    _sql(made, f"UPDATE certificates SET {change} WHERE subject = 'lamp'")
    what = _one(made, "log_mismatch")
    assert "in the registry is" in what
    assert "damaged" in what or "not the one of the log" in what


# revocations and lists


def test_a_revocation_that_was_undone(made: Path) -> None:
    _sql(made, "UPDATE certificates SET revoked_at = NULL, reason = NULL WHERE subject = 'pump'")
    first, second = _several(made, "log_mismatch", "list_wrong")
    assert "was revoked, and the registry does not say so" in first
    assert "intermediate.crl names 1 that the registry does not call revoked" in second


def test_a_revocation_that_nobody_made(made: Path) -> None:
    _sql(
        made,
        "UPDATE certificates SET revoked_at = '2026-01-01T00:00:00+00:00', reason = 'unspecified'"
        " WHERE subject = 'lamp'",
    )
    first, second = _several(made, "log_mismatch", "list_wrong")
    assert "the log does not tell that" in first
    assert "intermediate.crl lacks 1 of what was revoked before it was signed" in second


@pytest.mark.parametrize(
    "change", ["reason = 'unspecified'", "revoked_at = '2020-01-01T00:00:00+00:00'"]
)
def test_a_revocation_that_was_altered(made: Path, change: str) -> None:
    _sql(made, f"UPDATE certificates SET {change} WHERE subject = 'pump'")
    assert "was revoked as keyCompromise at" in _one(made, "log_mismatch")


def test_a_list_that_was_taken_out(made: Path) -> None:
    _sql(made, "DELETE FROM crls WHERE id = 1")
    assert "the registry lacks the revocation list 1" in _one(made, "log_mismatch")


def test_a_list_whose_time_was_stretched(made: Path) -> None:
    _sql(made, "UPDATE crls SET next_update = '2099-01-01T00:00:00+00:00' WHERE id = 1")
    found = [one["what"] for one in _audit(made)[1] if one["cause"] == "log_mismatch"]
    assert len(found) == 2


# files


@pytest.mark.parametrize(
    "name", ["ca/root.key", "ca/intermediate.key", "broker/broker.pem", "registry.sqlite"]
)
def test_a_secret_file_that_others_can_read(made: Path, name: str) -> None:
    (made / name).chmod(0o644)
    what = _one(made, "readable_by_others")
    assert str(made / name) in what
    (made / name).chmod(0o600)
    assert _audit(made)[0] == 0


def test_a_key_that_is_not_encrypted(made: Path) -> None:
    key = project.open_authority(project.load(made), PHRASE).key
    clear = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (made / "ca/intermediate-2.key").write_bytes(clear)
    assert "is not encrypted" in _one(made, "key_in_clear")


@pytest.mark.parametrize("name", ["ca/intermediate.crt", "ca/root.crt", "broker/broker.pem"])
def test_a_certificate_of_another_project(made: Path, pattern: Path, name: str) -> None:
    shutil.copy2(pattern / FOREIGN / name, made / name)
    status, found, _ = _audit(made)
    assert status == 1
    assert f"{made / name} is a certificate that the registry does not know" in [
        one["what"] for one in found
    ]


def test_the_brokers_certificate_with_another_key(made: Path, pattern: Path) -> None:
    path = made / "broker/broker.pem"
    ours, theirs = path.read_bytes(), (pattern / FOREIGN / "broker/broker.pem").read_bytes()
    at = b"-----BEGIN PRIVATE KEY"
    path.write_bytes(ours[: ours.index(at)] + theirs[theirs.index(at) :])
    assert "don't match" in _one(made, "mismatch")


def test_an_old_list_at_the_broker(made: Path, pattern: Path) -> None:
    shutil.copy2(pattern / "greenhouse.old.pem", made / "broker/crl.pem")
    assert "does not hold the lists of" in _one(made, "list_outdated")


def test_an_old_list_of_the_ca_and_at_the_broker(made: Path, pattern: Path) -> None:
    """Both as they were before the revocation: the registry knows that a later one was signed."""
    lists = (pattern / "greenhouse.old.pem").read_bytes().split(b"-----BEGIN")[1:]
    order = ("ca/intermediate-2.crl", "ca/intermediate.crl", "ca/root.crl")
    for name, text in zip(order, lists, strict=True):
        (made / name).write_bytes(b"-----BEGIN" + text)
    shutil.copy2(pattern / "greenhouse.old.pem", made / "broker/crl.pem")
    status, found, _ = _audit(made)
    assert status == 1
    assert [one["cause"] for one in found if one["cause"] != "root_online"] == ["list_outdated"] * 2


@pytest.mark.parametrize(
    "name", ["ca/intermediate.crt", "ca/intermediate-2.key", "ca/root.crl", "broker/broker.pem"]
)
def test_a_file_that_is_gone_or_damaged(made: Path, name: str) -> None:
    for harm in (Path.unlink, lambda path: path.write_bytes(b"nothing")):
        harm(made / name)
        status, found, _ = _audit(made)
        assert status == 1
        assert any(name.rpartition("/")[2] in one["what"] for one in found), found


def test_a_stray_file_is_a_note(made: Path) -> None:
    for name in ("ca/.root.key.0a1b2c3d", "ca/copy.key", "broker/.broker.pem.00000000"):
        (made / name).write_bytes(b"")
        (made / name).chmod(0o600)
        status, found, _ = _audit(made)
        assert status == 0
        mine = [one for one in found if one["cause"] == "stray_file"]
        assert [one["severity"] for one in mine] == ["note"]
        assert str(made / name) in mine[0]["what"]
        (made / name).unlink()


def test_a_root_key_that_is_elsewhere_is_no_finding_and_one_beside_is_a_note(made: Path) -> None:
    assert [one["severity"] for one in _audit(made)[1]] == ["note"]
    (made / "ca/root.key").unlink()
    assert _audit(made)[:2] == (0, [])


def test_what_was_revoked_and_is_on_no_list_yet(made: Path) -> None:
    """As after a kill."""
    registry = Registry.open(made / "registry.sqlite")
    record = next(registry.certificates(device_id="lamp"))
    registry.revoke([record.serial_number], "keyCompromise")
    assert _one(made, "list_outdated").startswith("1 revoked since the last list of 'greenhouse")
    words = ("ca", "crl", "--project", made, "--passphrase-fd", FD)
    assert run(*words, secrets=(PHRASE,)).status == 0
    assert _audit(made)[0] == 0


def test_what_a_board_held_before_it_was_provisioned_again_is_noted(made: Path) -> None:
    """Its key is gone from the board: it may wait for the next list."""
    registry = Registry.open(made / "registry.sqlite")
    record = next(registry.certificates(device_id="lamp"))
    registry.revoke([record.serial_number], "superseded")
    status, found, _ = _audit(made)
    mine = [one["severity"] for one in found if one["cause"] == "list_outdated"]
    assert (status, mine) == (0, ["note"])


def test_nothing_is_due_of_a_ca_that_was_revoked_with_what_it_issued(made: Path) -> None:
    ca, _ = Registry.open(made / "registry.sqlite").certificates(kind="intermediate")
    words = ("ca", "revoke", "lamp", ca.serial_number, "--reason", "cACompromise", "--yes")
    fds = ("--passphrase-fd", FD, "--root-passphrase-fd", FD)
    assert run(*words, "--project", made, *fds, secrets=(PHRASE, PHRASE)).status == 0
    assert _audit(made)[0] == 0
