"""The registry: what was issued to whom, how far each device has come, and the log of it all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmshake.registry.database import Unavailable
from firmshake.registry.fleetrecord import (
    Claim,
    ClaimLost,
    Diagnosis,
    Refusal,
    RunDevice,
    RunRecord,
    SlotRecord,
    Status,
)
from firmshake.registry.record import CertificateRecord, Change, CrlRecord, DeviceRecord, Issued
from firmshake.registry.schema import STATES
from firmshake.registry.store import Registry

if TYPE_CHECKING:
    from firmshake.project import Project

__all__ = [
    "STATES",
    "CertificateRecord",
    "Change",
    "Claim",
    "ClaimLost",
    "CrlRecord",
    "DeviceRecord",
    "Diagnosis",
    "Issued",
    "Refusal",
    "Registry",
    "RunDevice",
    "RunRecord",
    "SlotRecord",
    "Status",
    "Unavailable",
    "open_for",
]


def open_for(project: Project) -> Registry:
    """Return the project's registry, wherever it is; raise Error where it does not open."""
    return Registry.open(project.registry_at)
