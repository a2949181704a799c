"""A board's own files: its settings and its identity, beside the agent. Does no I/O."""

from __future__ import annotations

import json
from datetime import datetime

from firmshake.identity import Identity
from firmshake.project import Project

FOLDER = "/firmshake"
VERSION = 1  # of settings.json; firmshake_agent/identity.py reads it


def settings(project: Project, device_id: str, now: datetime) -> dict[str, object]:
    """A board's settings.json as an object. `now` becomes the earliest time that it believes."""
    wifi = project.wifi
    return {
        "v": VERSION,
        "device": device_id,
        "host": project.broker.host,
        "port": project.broker.port,
        "server_name": project.broker.server_name,
        "wifi": {"ssid": wifi.ssid, "password": wifi.password} if wifi else None,
        "ntp": list(project.ntp),
        "floor": int(now.timestamp()),
        "keepalive": project.keepalive_s,
    }


def identity_files(identity: Identity) -> dict[str, bytes]:
    """Key, certificates and trust anchors by the names that the agent reads."""
    return {
        "key.der": identity.key_der(),
        "cert.der": identity.chain_der(),
        "ca.der": identity.anchors_der(),
    }


def of(project: Project, identity: Identity, device_id: str, now: datetime) -> dict[str, bytes]:
    """The board's own files by absolute path. They hold its private key: for memory only."""
    files = {"settings.json": json.dumps(settings(project, device_id, now)).encode()}
    files |= identity_files(identity)
    return {f"{FOLDER}/{name}": data for name, data in files.items()}
