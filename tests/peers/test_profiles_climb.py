"""Every type of key that a profile may name, up to `ready`: real mosquitto, and the agent."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import desk
from support.servers import free_port

from firmshake import boardfiles, climb
from firmshake.ca import certificate, profiles
from firmshake.newproject import new_project
from firmshake.project import Broker, open_authority

NOW = datetime.now(UTC)
SECRET = b"correct horse"


def with_keys(**keys: str) -> str:
    """The shipped profiles with another type of key for some kinds."""

    def changed(table: re.Match[str]) -> str:
        key = keys.get(table[1], "ec-p256")
        return re.sub(r'(?m)^key = "ec-p256"$', f'key = "{key}"', table[0])

    return re.sub(r"(?ms)^\[(\w+)\]\n.*?(?=^\[|\Z)", changed, profiles.text())


@pytest.mark.parametrize("runtime", climb.RUNTIMES)
@pytest.mark.parametrize(
    ("ca", "broker", "device"),
    [
        ("ec-p256", "ec-p256", "ec-p256"),
        ("ec-p384", "ec-p384", "ec-p384"),
        ("rsa-2048", "rsa-2048", "rsa-2048"),
        ("rsa-3072", "ec-p256", "rsa-3072"),
        ("rsa-4096", "ec-p256", "rsa-4096"),
        ("ec-p256", "ec-p256", "rsa-2048"),
    ],
)
def test_a_device_of_these_keys_is_ready(
    tmp_path: Path, ca: str, broker: str, device: str, runtime: str
) -> None:
    text = with_keys(root=ca, intermediate=ca, broker=broker, device=device)
    where = Broker("127.0.0.1", free_port(), "127.0.0.1")
    made = new_project(
        tmp_path / "fleet",
        broker=where,
        passphrase=SECRET,
        now=NOW,
        ntp=(),
        certificate_profiles=text,
    )
    authority = open_authority(made, SECRET)
    identity = authority.issue("pump", now=NOW)
    found = [certificate.key_type_of(one) for one in (authority.root, identity.certificate)]
    assert found == [ca, device]
    with desk.broker(made):
        settings = {**boardfiles.settings(made, "pump", NOW), "wifi": None}
        verdict = climb.run(settings, boardfiles.identity_files(identity), runtime=runtime)
    assert verdict.verdict == "ready", verdict.evidence
