"""`firmshake ca export rabbitmq` under the real RabbitMQ, with the program that it asks."""

from __future__ import annotations

import contextlib
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import exported
from support.exported import Fleet
from support.mqttsession import ACCEPTED, Session, context, is_refused
from support.rabbitmq import rabbitmq
from support.servers import free_port

from firmshake.ca import authority
from firmshake.exports.rabbitmq import RIGHTS_PORT


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return exported.fleet(tmp_path_factory.mktemp("rabbitmq") / "greenhouse")


@pytest.fixture(scope="module")
def folder(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What was exported, with a RabbitMQ that runs on it. One for all: it takes ten seconds."""
    made = tmp_path_factory.mktemp("broker") / "exported"
    fleet.export("rabbitmq", made, ["--with-key", "--at", str(made)])
    with _rights(made) as port:
        # the one change: its port may be another's here
        conf = (made / "rabbitmq.conf").read_text().replace(str(RIGHTS_PORT), str(port))
        plugins = re.findall(r"\w+", (made / "enabled_plugins").read_text())
        node = tmp_path_factory.mktemp("node")
        advanced = (made / "advanced.config").read_text()
        with rabbitmq(node, conf, plugins, advanced=advanced):
            yield made


@contextlib.contextmanager
def _rights(folder: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, str(folder / "device_rights.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == f"listening on port {port}\n".encode()
            yield port
        finally:
            process.terminate()


def test_a_device_has_its_own_topics_and_no_other(
    fleet: Fleet, folder: Path, tmp_path: Path
) -> None:
    tls, own = context(tmp_path, fleet.root, fleet.device("pump")), "devices/pump/end"
    for topic, granted in {
        "devices/pump/echo": True,
        "devices/pump/a/b": True,
        "devices/other/echo": False,
        "devices/pump2/echo": False,
        "echo": False,
    }.items():
        with Session(fleet.project.broker.port, tls) as session:
            assert session.connect("pump") == ACCEPTED
            assert session.granted(topic, own) == granted, topic


@pytest.mark.parametrize("wild", ["#", "devices/#", "devices/+/echo", "+/+/+"])
def test_a_device_does_not_hear_the_others(
    fleet: Fleet, folder: Path, tmp_path: Path, wild: str
) -> None:
    tls = context(tmp_path, fleet.root, fleet.device("ear"))
    with Session(fleet.project.broker.port, tls) as session:
        assert session.connect("ear") == ACCEPTED
        assert not session.granted(wild, "devices/ear/end")


def test_a_device_cannot_call_itself_another_nor_log_in_with_a_password(
    fleet: Fleet, folder: Path, tmp_path: Path
) -> None:
    port, tls = fleet.project.broker.port, context(tmp_path, fleet.root, fleet.device("thief"))
    assert is_refused(port, tls, "pump")
    for login in (("pump", "x"), ("guest", "guest"), ("thief", "x")):
        with Session(port, tls) as session:
            assert session.connect(login[0], login) != ACCEPTED
    assert not is_refused(port, tls, "thief")


def test_nobody_else_gets_in(fleet: Fleet, folder: Path, tmp_path: Path) -> None:
    port, now = fleet.project.broker.port, datetime.now(UTC)
    _, foreign = authority.create(fleet.project.name, now=now)
    assert is_refused(port, context(tmp_path, fleet.root, None), "pump")
    assert is_refused(port, context(tmp_path, fleet.root, foreign.issue("pump", now=now)), "pump")
    assert not is_refused(port, context(tmp_path, fleet.root, fleet.device("pump")), "pump")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_revoked_device_is_refused_without_a_restart_and_the_others_go_on(
    fleet: Fleet, folder: Path, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    port, name = fleet.project.broker.port, f"stolen-{version.value}"
    stolen, kept = fleet.device(name), fleet.device(f"kept-{version.value}")
    stolen_tls, kept_tls = (context(tmp_path, fleet.root, one) for one in (stolen, kept))
    stolen_tls.maximum_version = stolen_tls.minimum_version = version
    with Session(port, stolen_tls) as before:
        assert before.connect(name) == ACCEPTED
        resumed = before.line.session
    fleet.revoke(stolen)
    again = tmp_path / "again"
    fleet.export("rabbitmq", again)
    for path in (again / "crl").iterdir():
        path.replace(folder / "crl" / path.name)
    assert is_refused(port, stolen_tls, name)
    assert is_refused(port, stolen_tls, name, resumed)
    assert not is_refused(port, kept_tls, f"kept-{version.value}")
