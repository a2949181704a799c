"""`firmshake ca expiring` tells all that is due, and nothing that is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import FD, run

from firmshake import project
from firmshake.ca import profiles
from firmshake.newproject import new_project
from firmshake.project import Broker
from firmshake.registry import Registry

PHRASE = b"correct horse"
NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=40 * 365)


def _new(folder: Path, now: datetime = NOW, rules: str | None = None) -> Registry:
    made = new_project(
        folder,
        broker=Broker("127.0.0.1", 8883, "mqtt.example"),
        passphrase=PHRASE,
        now=now,
        certificate_profiles=rules,
    )
    return Registry.open(made.registry_path)


def _serials(registry: Registry, device_id: str) -> list[str]:
    return [one.serial_number for one in registry.expiring(SOON) if one.device_id == device_id]


def test_what_was_replaced_is_due_again_once_its_successor_is_revoked(tmp_path: Path) -> None:
    registry = _new(tmp_path / "greenhouse")
    authority = project.open_authority(project.load(tmp_path / "greenhouse"), PHRASE)
    for _ in range(2):
        registry.record_issued("pump", authority.issue("pump", now=NOW).certificate)
    old, new = (one.serial_number for one in registry.certificates(device_id="pump"))
    assert _serials(registry, "pump") == [new]
    registry.revoke([new], "keyCompromise")
    assert _serials(registry, "pump") == [old]


@pytest.mark.parametrize(("age", "due"), [(timedelta(hours=36), True), (timedelta(3), False)])
def test_the_list_of_a_ca_that_has_expired_is_not_due(
    tmp_path: Path, age: timedelta, due: bool
) -> None:
    """Its list ends after a day, the CA itself after two."""
    head, tail = profiles.text().split("[intermediate]")
    tail = tail.replace("validity_days = 5479", "validity_days = 2")
    rules = f"{head}[intermediate]{tail.replace('crl_days = 397', 'crl_days = 1')}"
    _new(tmp_path / "greenhouse", NOW - age, rules)
    done = run("ca", "expiring", "--project", tmp_path / "greenhouse")
    lines = [line for line in done.out.splitlines() if line.startswith("crl ")]
    assert [line.split()[1:3] for line in lines] == ([["greenhouse", "issuing"]] * due)


def test_the_ca_renewed_is_not_due(tmp_path: Path) -> None:
    """An intermediate's successor counts whatever its name, until it is revoked."""
    registry = _new(tmp_path / "greenhouse")
    words = ("--project", tmp_path / "greenhouse", "--passphrase-fd", FD)
    fds = ("--root-passphrase-fd", FD)
    assert run("ca", "intermediate", *words, *fds, secrets=(PHRASE, PHRASE)).status == 0
    cas = [one.serial_number for one in registry.certificates(kind="intermediate")]
    due = [one.serial_number for one in registry.expiring(SOON) if one.kind == "intermediate"]
    assert due == cas[1:]
    registry.revoke(cas[1:], "cACompromise")
    due = [one.serial_number for one in registry.expiring(SOON) if one.kind == "intermediate"]
    assert due == cas[:1]
