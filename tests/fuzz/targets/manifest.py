"""The readers of a fleet's manifest: CSV, and TOML, which is held against tomllib."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

from firmshake import deviceid
from firmshake.ca import profiles
from firmshake.fleet import manifest, settings
from firmshake.fleet.manifest import BadManifest, Manifest
from firmshake.project import Broker, Project, Wifi

WORK = 90
HARD = (
    (b"id\n", b"a\n"),
    (b"id,count\n", b"{number},9\n"),
    (b"id;unique_id\n", b"a;zz\n"),
    (b"id\n", b'"\n'),
    (b"id\n", b"{"),
    (b"", b"[[device]]\n"),
    (b"", b"a=[\n"),
    (b'[[device]]\na = """', b"x\n"),
    (b"", b"a='''\nb=\"\"\"\n"),
    (b"[[device]]\nid = ", b"["),
    (b"[[device]]\n", b"a."),
)
SECRET = "a network's own secret"
PROJECT = Project(
    root=Path("fleet"),
    name="fleet",
    broker=Broker("broker.example", 8883, "broker.example"),
    wifi=Wifi("shed", SECRET),
    ntp=(),
    keepalive_s=60,
    prefix="gh",
)
MOST = 100


def one(data: bytes) -> None:
    """Read it as both: devices that can be made, or problems that can be told."""
    for suffix in (".csv", ".toml"):
        found = _read(data, suffix)
        if found is not None:
            _check(found)
            if suffix == ".toml":
                _compare(found, data)


def _read(data: bytes, suffix: str) -> Manifest | None:
    try:
        return manifest.parse(io.BytesIO(data), f"a{suffix}", PROJECT, profiles.load(), most=MOST)
    except BadManifest as error:
        lines = data.count(b"\n") + 1
        assert error.problems
        assert all(0 < one.line <= lines and one.message for one in error.problems)
        assert [one.line for one in error.problems] == sorted(one.line for one in error.problems)
        assert all(one.line < also <= lines for one in error.problems for also in one.also)
        assert all(len(one.message) < 1000 and len(one.hint) < 1000 for one in error.problems)
        return None


def _check(found: Manifest) -> None:
    """Each can be made, and none is there twice."""
    assert 0 < len(found.planned) <= MOST
    ids = [planned.id_rule.replace("{unique_id}", "0" * 16) for planned in found.planned]
    assert all(deviceid.is_legal(name) for name in ids)
    fixed = [planned.id_rule.lower() for planned in found.planned if "{" not in planned.id_rule]
    assert len(set(fixed)) == len(fixed)
    boards = [planned.unique_id for planned in found.planned if planned.unique_id]
    assert len(set(boards)) == len(boards)
    for planned in found.planned:
        settings.applied(PROJECT, planned.settings)


def _compare(found: Manifest, data: bytes) -> None:
    """What is taken for TOML is TOML, and says the same to tomllib."""
    document = tomllib.loads(data.decode().removeprefix("\ufeff"))
    usual = _flat(document.pop("defaults", {}))
    devices = [usual | _flat(device) for device in document.pop("device")]
    assert not document
    assert len(found.planned) == sum(device.get("count", 1) for device in devices)
    planned = iter(found.planned)
    for device in devices:
        for _ in range(device.get("count", 1)):
            made = next(planned)
            own = {name: value for name, value in device.items() if "." in name}
            assert made.settings == own
            if "{" not in device["id"]:
                assert made.id_rule == device["id"]


def _flat(table: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    return flat
