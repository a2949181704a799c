"""Whether a board has already all that it would be given. Does no I/O."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

from cryptography import x509

from firmshake import boardfiles
from firmshake.ca import loading
from firmshake.inspect import pem
from firmshake.project import Project
from firmshake.ways.way import Files, Held
from firmshake_agent import der

# bytes; a chain of ours has some thousands
_LONGEST = 1 << 16
# the time of provisioning is another each time
_OWN = "floor"


def chain(held: Held, common: Files) -> list[x509.Certificate]:
    """Return the chain of a board that has the agent's files, `common`; else none.

    Its key is not looked at: the proof needs it.
    """
    if any(
        held.digests.get(path) != hashlib.sha256(data).digest() for path, data in common.items()
    ):
        return []
    return _certificates(held.certificates or b"")


def has_settings(held: Held, project: Project, device_id: str, now: datetime) -> bool:
    """Return whether the board has the settings that it would be given as that device."""
    wanted = boardfiles.settings(project, device_id, now)
    try:
        found = json.loads(held.settings or b"")
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    return {**found, _OWN: None} == {**json.loads(json.dumps(wanted)), _OWN: None}


def _certificates(content: bytes) -> list[x509.Certificate]:
    """The certificates in PEM or in DER; none where one is damaged, or it is no chain of ours."""
    if len(content) > _LONGEST:
        return []
    try:
        if pem.BEGIN in content:
            return loading.pem(content)
        return [loading.der(part) for part in der.split(content)]
    except (ValueError, der.BadDer):
        return []
