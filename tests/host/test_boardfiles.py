"""A board's settings.json, and what no board can be given."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import pki

from firmshake import boardfiles
from firmshake.cli.provision import command
from firmshake.errors import Error
from firmshake.project import Broker, Project

PLAIN = Broker("mqtt.example", 8883, "mqtt.example")
TOML = 'name = "g"\n[broker]\nhost = "mqtt.example"\n'


def _project(broker: Broker) -> Project:
    return Project(Path("fleet"), "g", broker, None, (), 60, "g")


def _written(broker: Broker) -> dict[str, object]:
    identity = pki.fleet().device
    files = boardfiles.of(_project(broker), identity, "g-1", pki.NOW)
    found = json.loads(files["/firmshake/settings.json"])
    assert isinstance(found, dict)
    return found


def test_settings_of_plain_tls_say_nothing_of_the_transport() -> None:
    found = _written(PLAIN)
    assert not {"transport", "path", "alpn", "sni"} & set(found)
    assert (found["host"], found["server_name"]) == ("mqtt.example", "mqtt.example")


def test_settings_of_a_websocket_name_its_path() -> None:
    plain = _written(PLAIN)
    found = _written(dataclasses.replace(PLAIN, transport="wss", path="/x"))
    assert {key: found[key] for key in found if key not in plain} == {
        "transport": "wss",
        "path": "/x",
    }


def test_settings_name_alpn_and_sni_for_an_agent_that_can_set_them() -> None:
    broker = dataclasses.replace(PLAIN, alpn="mqtt", sni="gate.example")
    assert boardfiles.transport(broker) == {"alpn": "mqtt", "sni": "gate.example"}


@pytest.mark.parametrize(("key", "value"), [("alpn", "mqtt"), ("sni", "gate.example")])
def test_a_board_that_cannot_set_it_gets_no_files(key: str, value: str) -> None:
    assert _written(PLAIN)
    with pytest.raises(Error, match=rf"\[broker\] {key}") as caught:
        _written(dataclasses.replace(PLAIN, **{key: value}))
    assert key in caught.value.hint


def test_provision_refuses_it_before_anything_is_opened_or_asked_for(tmp_path: Path) -> None:
    """There is neither a registry nor a CA in this folder: without alpn, it is they that miss."""
    settings = tmp_path / "fleet.toml"
    arguments = ["/dev/null", "--project", str(tmp_path)]
    settings.write_text(TOML)
    with pytest.raises(Error, match="ca.toml"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    settings.write_text(TOML + 'alpn = "mqtt"\n')
    with pytest.raises(Error, match=r"\[broker\] alpn"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert list(tmp_path.iterdir()) == [settings]
