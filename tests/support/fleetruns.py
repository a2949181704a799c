"""Runs of a fleet in a registry, as a station leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from firmshake.fleet.planned import Planned
from firmshake.project import Project
from firmshake.registry import Claim, Registry, RunRecord
from support import desk


def finished_run(
    made: Project,
    *,
    proved: Sequence[str],
    failed: Sequence[str] = (),
    left: Sequence[str] = (),
) -> RunRecord:
    """A run in which these devices were proved, failed and never begun, in this order."""
    registry, authority = Registry.open(made.registry_path), desk.authority(made)
    wanted = [*proved, *failed, *left]
    planned = [Planned(device_id, line=number) for number, device_id in enumerate(wanted, 2)]
    run = registry.plan("spring", "d" * 64, "boards.csv", planned)
    for number, device_id in enumerate([*proved, *failed]):
        claim = registry.claim(
            run.id,
            unique_id=f"a0b1c2d3{number:04x}",
            boards=(),
            station="bench-1",
            session="s",
            lease_s=60,
        )
        assert isinstance(claim, Claim)
        assert claim.device_id == device_id
        identity = authority.issue(device_id, now=datetime.now(UTC))
        registry.record_issued(
            device_id, identity.certificate, unique_id=claim.unique_id, chip="ESP32"
        )
        registry.set_state(device_id, "written", firmware="MicroPython 1.28")
        if device_id in proved:
            registry.set_state(device_id, "proved", "ready")
            registry.release(claim, "proved")
        else:
            registry.set_state(device_id, "failed", "tls.server_certificate/expired")
            registry.release(claim, "failed")
    return run
