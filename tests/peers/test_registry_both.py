"""What the registry remembers, in a SQLite file and in a real PostgreSQL alike."""

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support import claimants

from firmshake.ca import authority, certificate
from firmshake.errors import Error
from firmshake.fleet.planned import Planned
from firmshake.registry import STATES, Claim, Issued, Registry, sqlitefile
from firmshake.registry.reconcile import Reconciliation

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ROOT, ISSUING = authority.create("greenhouse", now=NOW)
PUMP = ISSUING.issue("pump", now=NOW)


def test_an_issued_device_is_found_with_its_certificate(registry: Registry) -> None:
    registry.record_issued(
        "pump", PUMP.certificate, unique_id="a0b1", chip="ESP32", firmware="1.28"
    )
    found = registry.device("pump")
    assert found
    assert (found.state, found.verdict) == ("issued", None)
    assert (found.unique_id, found.chip, found.firmware) == ("a0b1", "ESP32", "1.28")
    assert found.created_at == found.changed_at == NOW + timedelta(minutes=1)
    assert found.certificate
    assert int(found.certificate.serial_number, 16) == PUMP.certificate.serial_number
    assert found.certificate.fingerprint_sha256 == certificate.fingerprint(PUMP.certificate)
    assert found.certificate.not_before == PUMP.certificate.not_valid_before_utc
    assert found.certificate.not_after == PUMP.certificate.not_valid_after_utc


def test_a_state_changes_what_is_given_and_keeps_the_rest(registry: Registry) -> None:
    registry.record_issued("pump", PUMP.certificate, chip="ESP32")
    registry.set_state("pump", "failed", "tcp/refused", firmware="1.28")
    found = registry.device("pump")
    assert found
    assert (found.state, found.verdict) == ("failed", "tcp/refused")
    assert (found.chip, found.firmware) == ("ESP32", "1.28")
    assert found.changed_at - found.created_at == timedelta(minutes=1)
    registry.set_state("pump", "proved", "ready")
    assert (found := registry.device("pump"))
    assert found.verdict == "ready"


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_the_first(registry: Registry, state: str) -> None:
    registry.set_state("pump", state)
    assert (found := registry.device("pump"))
    assert (found.state, found.certificate) == (state, None)


def test_the_certificate_issued_last_is_the_devices(registry: Registry) -> None:
    second = ISSUING.issue("pump", now=NOW)
    registry.record_issued("pump", PUMP.certificate)
    registry.record_issued("pump", second.certificate)
    assert (found := registry.device("pump"))
    assert found.certificate
    assert found.certificate.serial_number == certificate.serial(second.certificate)
    assert len(registry.devices()) == 1


def test_devices_come_by_id_and_an_unknown_one_is_none(registry: Registry) -> None:
    for name in ("b", "a", "c"):
        registry.set_state(name, "planned")
    assert [d.device_id for d in registry.devices()] == ["a", "b", "c"]
    assert registry.device("d") is None


def test_history_has_a_row_for_each_change(registry: Registry) -> None:
    registry.set_state("pump", "planned")
    registry.record_issued("pump", PUMP.certificate)
    registry.set_state("pump", "proved", "ready")
    registry.set_state("other", "planned")
    rows = registry.history("pump")
    assert [(r.state, r.verdict) for r in rows] == [
        ("planned", None),
        ("issued", None),
        ("proved", "ready"),
    ]
    assert [r.serial_number for r in rows] == [None, certificate.serial(PUMP.certificate), None]
    assert [r.at for r in rows] == [NOW + timedelta(minutes=n) for n in (1, 2, 3)]


def test_a_serial_number_is_recorded_once_and_a_refusal_changes_nothing(
    registry: Registry,
) -> None:
    registry.record_issued("pump", PUMP.certificate)
    before = registry.devices(), registry.history("pump")
    with pytest.raises(Error, match="in the registry already"):
        registry.record_issued("pump", PUMP.certificate)
    with pytest.raises(Error, match="in the registry already"):
        registry.record_issued("other", PUMP.certificate)
    assert (registry.devices(), registry.history("pump")) == before


def test_ids_are_sorted_by_their_bytes(registry: Registry) -> None:
    """In a language's order, "a1" would stand between "a-0" and "a-2"."""
    for name in ("a1", "a-2", "B", "a-0"):
        registry.set_state(name, "planned")
    assert [one.device_id for one in registry.devices()] == ["B", "a-0", "a-2", "a1"]


def test_a_new_serial_number_is_recorded_after_a_refusal_in_the_same_process(
    registry: Registry,
) -> None:
    registry.record_issued("pump", PUMP.certificate)
    with pytest.raises(Error, match=re.escape(certificate.serial(PUMP.certificate))):
        registry.record_issued("pump", PUMP.certificate)
    registry.record_issued("pump", ISSUING.issue("pump", now=NOW).certificate)
    assert len(list(registry.certificates(device_id="pump"))) == 2


def test_what_was_written_supersedes_what_was_before(registry: Registry) -> None:
    second = ISSUING.issue("pump", now=NOW)
    registry.record_issued("pump", PUMP.certificate)
    registry.record_issued("pump", second.certificate)
    before = certificate.serial(PUMP.certificate)
    assert registry.set_state("pump", "written") == [before]
    assert [row.serial_number for row in registry.revoked()] == [before]


def test_numbers_of_revocation_lists_go_up_for_each_issuer(registry: Registry) -> None:
    numbers = [
        registry.number_crl(issuer, NOW, NOW + timedelta(days=7)).number for issuer in "aabba"
    ]
    assert numbers == [1, 2, 1, 2, 3]
    assert (last := registry.last_crl("a"))
    assert last.number == 3


def test_ids_of_a_claimed_prefix_are_given_once(registry: Registry) -> None:
    registry.set_state("pump-000003", "planned")
    first = registry.claim_numbers("/there", "pump", 2)
    second = registry.claim_numbers("/elsewhere", "pump", 2)
    assert first.claim
    assert second.claim
    assert (first.claim.first, second.claim.first) == (4, 6)
    assert [one.number for one in registry.deliveries()] == [first.number, second.number]
    registry.finish(first.number)
    assert [one.number for one in registry.deliveries("/elsewhere")] == [second.number]


def test_keys_on_their_way_are_noted_until_they_arrive(registry: Registry) -> None:
    registry.deliver("/there", [Issued("device", PUMP.certificate, "pump")])
    (_, row), *_ = registry.undelivered("/there")
    assert row.device_id == "pump"
    with pytest.raises(Error, match="has a certificate that is good until"):
        registry.check_none_in_force(["pump"])
    registry.arrived([row.serial_number])
    assert registry.undelivered() == []


def _life(registry: Registry) -> None:
    """Something of each kind."""
    registry.record(Issued("root", ROOT.certificate), Issued("intermediate", ISSUING.certificate))
    registry.record_issued("pump", PUMP.certificate)
    registry.record_issued("pump", ISSUING.issue("pump", now=NOW).certificate)
    registry.set_state("pump", "written")
    registry.number_crl("a", NOW, NOW + timedelta(days=7))
    lamp = ISSUING.issue("lamp", now=NOW)
    registry.record_issued("lamp", lamp.certificate)
    registry.revoke([certificate.serial(lamp.certificate)], "keyCompromise")


def _wrong(registry: Registry) -> list[str]:
    found = registry.altered()
    Reconciliation(registry, found.append).walk()
    return found


def test_log_and_rows_agree(registry: Registry) -> None:
    _life(registry)
    assert _wrong(registry) == []
    assert (head := registry.head())
    assert head.seq == 8


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE certificates SET revoked_at = NULL, reason = NULL", "does not say so"),
        ("UPDATE crls SET number = 7", "lacks the revocation list"),
        ("UPDATE certificates SET subject = 'other' WHERE kind = 'root'", "not the one of the log"),
    ],
)
def test_a_row_that_was_changed_behind_its_back_shows(
    registry: Registry, statement: str, words: str
) -> None:
    _life(registry)
    with registry._database.transaction() as connection:
        connection.execute(text(statement))
    assert any(words in one for one in _wrong(registry))


@pytest.mark.parametrize("statement", ["UPDATE log SET entry = ''", "DELETE FROM log"])
def test_the_log_can_only_grow(registry: Registry, statement: str) -> None:
    _life(registry)
    before = list(registry.log())
    with pytest.raises(Error), registry._database.transaction() as connection:
        connection.execute(text(statement))
    assert list(registry.log()) == before


def test_writers_at_once_make_one_chain(place: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread has its own connection, so PostgreSQL has eight at a time."""
    monkeypatch.setattr(sqlitefile, "WAIT_S", claimants.LIMIT_S)
    registry = Registry.create(place)
    identities = [ISSUING.issue(f"d{number}", now=NOW) for number in range(24)]

    def work(part: int) -> None:
        for number in range(part, len(identities), 8):
            registry.record_issued(f"d{number}", identities[number].certificate)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.seq for entry in registry.log()] == list(range(1, 25))
    assert not [words for words in _wrong(registry) if not words.startswith("no CA")]


def test_a_table_that_is_gone_is_an_error(registry: Registry) -> None:
    with registry._database.transaction() as connection:
        connection.execute(text("DROP TABLE diagnoses"))
        connection.execute(text("DROP TABLE undelivered"))
    with pytest.raises(Error, match="is damaged"):
        registry.undelivered()
    assert "the registry lacks the table diagnoses" in registry.altered()


def test_what_nobody_has_taken_is_named_in_the_manifests_order(registry: Registry) -> None:
    planned = [Planned(f"pump-{number}", f"a{number}") for number in range(4)]
    run = registry.plan("spring", "d1", "spring.csv", planned)
    registry.plan("other", "d2", "other.csv", [Planned("valve")])
    who = {"boards": ["esp32"], "station": "s", "session": "s", "lease_s": 60.0}
    assert isinstance(registry.claim(run.id, unique_id="a1", **who), Claim)  # type: ignore[arg-type]
    found = registry.missing(run.id, 2)
    assert [(slot.device_id, slot.wanted_unique_id) for slot in found] == [
        ("pump-0", "a0"),
        ("pump-2", "a2"),
    ]
    assert len(registry.missing(run.id, 9)) == 3
