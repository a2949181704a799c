"""A board's own files: its settings and its identity, beside the agent. Does no I/O."""

from __future__ import annotations

import json
from datetime import datetime

from firmshake.ca.identity import Identity
from firmshake.errors import Error
from firmshake.fleetfile import WSS
from firmshake.project import FLEET_FILE, Broker, Project

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
        **transport(project.broker),
    }


def transport(broker: Broker) -> dict[str, object]:
    """What settings.json says of the way to speak to the broker, beyond MQTT over plain TLS."""
    said: dict[str, object] = {}
    if broker.transport == WSS:
        said = {"transport": broker.transport, "path": broker.path}
    extras = {"alpn": broker.alpn, "sni": broker.sni}
    return said | {key: value for key, value in extras.items() if value is not None}


def check(project: Project) -> None:
    """Raise Error where the project wants what MicroPython's stock firmware cannot do."""
    for key in ("alpn", "sni"):
        if getattr(project.broker, key) is not None:
            raise Error(
                f"{project.root / FLEET_FILE}: [broker] {key} is nothing that MicroPython's stock"
                " firmware can set, and nothing was written",
                hint=f"leave {key} out, and let the broker do without it",
            )


def identity_files(identity: Identity) -> dict[str, bytes]:
    """Key, certificates and trust anchors by the names that the agent reads."""
    return {
        "key.der": identity.key_der(),
        "cert.der": identity.chain_der(),
        "ca.der": identity.anchors_der(),
    }


def of(project: Project, identity: Identity, device_id: str, now: datetime) -> dict[str, bytes]:
    """The board's own files by absolute path. They hold its private key: for memory only.

    Raises Error as `check` does.
    """
    check(project)
    files = {"settings.json": json.dumps(settings(project, device_id, now)).encode()}
    files |= identity_files(identity)
    return {f"{FOLDER}/{name}": data for name, data in files.items()}
