"""What a station does with a registry, a step at a time."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from firmshake.ca import authority
from firmshake.ca import certificate as certificates
from firmshake.fleet.planned import Planned
from firmshake.registry import Claim, Refusal, Registry, RunRecord

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
DAY_S = 86400.0
_, ISSUING = authority.create("greenhouse", now=NOW)


def plan(registry: Registry, *planned: Planned, path: str = "spring.csv") -> RunRecord:
    return registry.plan("spring", secrets.token_hex(8), path, planned)


def ask(
    registry: Registry,
    run: RunRecord,
    unique_id: str,
    *boards: str,
    station: str = "bench-1",
    lease_s: float = DAY_S,
) -> Claim | Refusal:
    """The session has the station's name."""
    return registry.claim(
        run.id,
        unique_id=unique_id,
        boards=boards,
        station=station,
        session=station,
        lease_s=lease_s,
    )


def got(answer: Claim | Refusal) -> Claim:
    assert isinstance(answer, Claim), answer
    return answer


def refused(answer: Claim | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    assert answer.words
    return answer.reason


def issue(registry: Registry, claim: Claim) -> str:
    """Record a certificate; its serial number."""
    made = ISSUING.issue(claim.device_id, now=datetime.now(UTC)).certificate
    registry.record_issued(
        claim.device_id, made, unique_id=claim.unique_id, chip="ESP32", token=claim.token
    )
    return certificates.serial(made)


def finish(registry: Registry, claim: Claim, state: str) -> None:
    issue(registry, claim)
    known = {"unique_id": claim.unique_id, "token": claim.token}
    registry.set_state(claim.device_id, "written", **known)
    registry.set_state(claim.device_id, state, **known)
    registry.release(claim, "proved" if state == "proved" else "failed")


def in_force(registry: Registry) -> set[str]:
    """The serial numbers of the devices' certificates that were not revoked."""
    found = registry.certificates(kind="device")
    return {row.serial_number for row in found if row.revoked_at is None}
