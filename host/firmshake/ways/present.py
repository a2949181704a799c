"""Whether a board is provisioned already: all that it would be given, it has. Does no I/O."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

from cryptography import x509

from firmshake import boardfiles
from firmshake.boards import uniqueid
from firmshake.ca import certificate as certificates
from firmshake.inspect import pem
from firmshake.project import Project
from firmshake.registry import Registry
from firmshake.ways.way import Files, Held
from firmshake_agent import der

# the time of provisioning is another each time
_OWN = "floor"


def identity(
    held: Held,
    common: Files,
    project: Project,
    registry: Registry,
    root: x509.Certificate,
    now: datetime,
    unique_id: str | None = None,
) -> tuple[str, str] | None:
    """Return the device id and serial number that the board has; None where it must be written.

    It must where a file of the agent (`common`) differs, its settings do, or its certificate is not
    known, not in force, not below `root`, or not the last that its device was given: then a run
    after it was broken off. It must also where the device is a board with another `unique_id`, of
    which this one is a copy. Its key is not looked at: the proof needs it.
    """
    if any(
        held.digests.get(path) != hashlib.sha256(data).digest() for path, data in common.items()
    ):
        return None
    chain = _chain(held.certificates or b"")
    if not chain or not certificates.issued_by(chain[-1], root):
        return None
    record = registry.certificate(certificates.serial(chain[0]))
    if record is None or record.device_id is None or record.revoked_at is not None:
        return None
    if record.fingerprint_sha256 != certificates.fingerprint(chain[0]) or record.not_after <= now:
        return None
    device = registry.device(record.device_id)
    if device is None or device.certificate != record:
        return None
    if not uniqueid.is_same(device.unique_id, unique_id):
        return None
    wanted = boardfiles.settings(project, record.device_id, now)
    if not _same(held.settings or b"", wanted):
        return None
    return record.device_id, record.serial_number


def _same(content: bytes, wanted: dict[str, object]) -> bool:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    return {**found, _OWN: None} == {**json.loads(json.dumps(wanted)), _OWN: None}


def _chain(content: bytes) -> list[x509.Certificate]:
    """The certificates in PEM or in DER; none where one is damaged."""
    try:
        if pem.BEGIN in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(part) for part in der.split(content)]
    except (ValueError, der.BadDer):
        return []
