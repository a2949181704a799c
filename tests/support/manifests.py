"""Manifests for tests: read for a project, and rows to write some of."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import strategies as st

from firmshake import idrule
from firmshake.boards import table
from firmshake.ca import profiles
from firmshake.fleet import manifest
from firmshake.fleet.manifest import BadManifest, Manifest, Problem
from firmshake.fleet.planned import Planned
from firmshake.project import Broker, Project, Wifi

PROFILES = profiles.parse(profiles.text() + "\n[profile.short]\nvalidity_days = 90\n")
PROJECT = Project(
    root=Path("fleet"),
    name="fleet",
    broker=Broker("broker.example", 8883, "broker.example"),
    wifi=Wifi("shed", "the fleet's own"),
    ntp=("pool.ntp.org",),
    keepalive_s=60,
    prefix="gh",
)


def parsed(content: str | bytes, name: str = "a.csv", project: Project = PROJECT) -> Manifest:
    data = content.encode() if isinstance(content, str) else content
    return manifest.parse(io.BytesIO(data), name, project, PROFILES)


def planned(content: str | bytes, name: str = "a.csv") -> list[Planned]:
    return list(parsed(content, name).planned)


def ids(content: str | bytes, name: str = "a.csv") -> list[str]:
    return [one.id_rule for one in planned(content, name)]


def problems(content: str | bytes, name: str = "a.csv") -> list[Problem]:
    with pytest.raises(BadManifest) as caught:
        parsed(content, name)
    return list(caught.value.problems)


def told(content: str | bytes, name: str = "a.csv") -> list[tuple[int, str]]:
    return [(one.line, one.message) for one in problems(content, name)]


def _spelled(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2)) if len(digits) == 12 else digits


_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9]", fullmatch=True)
_HOSTS = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
_LINE = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")
_SETTINGS = {
    "wifi.ssid": st.text(_LINE, min_size=1, max_size=8),
    "wifi.password": st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8),
    "broker.host": _HOSTS,
    "broker.port": st.integers(1, 65535),
    "clock.ntp": st.lists(_HOSTS, max_size=4),
    "mqtt.keepalive_s": st.integers(1, 65535),
}
_OPTIONAL = {
    **{name: values.filter(lambda v: v != "none") for name, values in _SETTINGS.items()},
    "unique_id": st.from_regex(r"[0-9a-f]{12}|[0-9a-f]{16}", fullmatch=True).map(_spelled),
}


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, object]]:
    """Rows that are right, as names and values; a board fits its unique id."""
    names = draw(
        st.lists(
            _IDS.filter(lambda name: not idrule.is_reserved(name)),
            min_size=1,
            max_size=6,
            unique_by=str.lower,
        )
    )
    made: list[dict[str, object]] = []
    for name in names:
        row: dict[str, object] = {"id": name}
        row |= draw(st.fixed_dictionaries({}, optional=_OPTIONAL))
        password = row.get("wifi.password")
        if isinstance(password, str):
            row["wifi.password"] = password[:63]
        if row.get("unique_id") in [other.get("unique_id") for other in made]:
            row.pop("unique_id", None)
        if "unique_id" not in row and draw(st.booleans()):
            row["board"] = draw(st.sampled_from([board.name for board in table.BOARDS]))
        made.append(row)
    return made
