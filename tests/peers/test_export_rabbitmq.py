"""`firmshake ca export rabbitmq` under the real RabbitMQ, with the program that it asks."""

from __future__ import annotations

import contextlib
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import desk, exported, watching
from support.exported import Fleet
from support.mqttsession import ACCEPTED, Session, context, is_refused
from support.rabbitmq import rabbitmq
from support.readme import Shell, check_trial, commands
from support.servers import free_port

from firmshake import watcher
from firmshake.ca import authority
from firmshake.exports.rabbitmq import RIGHTS_PORT
from firmshake.fleet import watchidentity


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return exported.fleet(tmp_path_factory.mktemp("rabbitmq") / "greenhouse")


@pytest.fixture(scope="module")
def folder(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What was exported, with a RabbitMQ that runs on it. One for all: it takes ten seconds."""
    made = tmp_path_factory.mktemp("broker") / "exported"
    fleet.export("rabbitmq", made, ["--with-key", "--at", str(made)])
    with _rights(made) as port:
        # a change: its port may be another's here
        conf = (made / "rabbitmq.conf").read_text().replace(str(RIGHTS_PORT), str(port))
        conf += "auth_http.request_timeout = 60000\n"  # its own 15 s are for an idle machine
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


def test_the_watcher_hears_what_devices_report_and_nothing_else(
    fleet: Fleet, folder: Path, tmp_path: Path
) -> None:
    """RabbitMQ 3.10 knows MQTT 3.1.1 only: the command finds out by itself."""
    device = context(tmp_path, fleet.root, fleet.device("well"))
    with watching.watching(fleet.project) as watch:
        watch.next(event="note", text="listening")
        with Session(fleet.project.broker.port, device) as session:
            assert session.connect("well") == ACCEPTED
            session.publish("devices/well/echo", b"no")
            session.publish("devices/well/diag", watching.report("well"))
            assert watch.next(event="verdict")["device_id"] == "well"
        watch.process.send_signal(signal.SIGINT)
        assert watch.next(event="counts")["messages"] == 1


def test_what_devices_report_while_no_watcher_is_there_waits_for_the_next(
    fleet: Fleet, folder: Path, tmp_path: Path
) -> None:
    port, tank = fleet.project.broker.port, fleet.device("tank")
    failed = watching.report("tank", watching.FAILURE)
    with watching.watching(fleet.project) as watch:
        watch.next(event="note", text="listening")
    with watching.client(tank, port, tmp_path, "tank") as device:
        for _ in range(30):  # more than RabbitMQ's own limit of what is not acknowledged
            device.publish("devices/tank/diag", failed)
        device.publish("devices/tank/diag", watching.report("tank"))
    with watching.watching(fleet.project) as watch:
        watch.next(event="verdict", device_id="tank", verdict="ready")
        watch.process.send_signal(signal.SIGINT)
        assert watch.next(event="counts")["messages"] == 31


def test_the_watcher_has_no_other_right(fleet: Fleet, folder: Path, tmp_path: Path) -> None:
    issuing = desk.authority(fleet.project)
    own = watchidentity.issue(issuing, fleet.registry, now=datetime.now(UTC), days=1)
    tls = context(tmp_path, fleet.root, own)

    def subscribed(topic: str, publishing: str = "") -> bool:
        with Session(fleet.project.broker.port, tls) as session:
            assert session.connect(watcher.NAME) == ACCEPTED
            if publishing:
                session.publish(publishing, b"no")
            return session.subscribed(topic)

    assert subscribed(watcher.TOPICS)
    for topic in ("devices/#", "devices/+/echo", f"devices/{watcher.NAME}/diag", "#"):
        assert not subscribed(topic), topic
    for topic in ("devices/pump/diag", f"devices/{watcher.NAME}/diag", "x"):
        assert not subscribed(watcher.TOPICS, topic), topic


def test_nobody_else_gets_in(fleet: Fleet, folder: Path, tmp_path: Path) -> None:
    port, now = fleet.project.broker.port, datetime.now(UTC)
    _, foreign = authority.create(fleet.project.name, now=now)
    assert is_refused(port, context(tmp_path, fleet.root, None), "pump")
    assert is_refused(port, context(tmp_path, fleet.root, foreign.issue("pump", now=now)), "pump")
    assert not is_refused(port, context(tmp_path, fleet.root, fleet.device("pump")), "pump")


def bring_list(fleet: Fleet, folder: Path, again: Path) -> None:
    """Export again, and do what the README says then."""
    fleet.export("rabbitmq", again, ["--at", str(folder)])
    # what follows ends the connections of devices
    typed = [
        line
        for line in commands(again / "README.txt", "The folder crl holds")
        if "rabbitmqctl" not in line
    ]
    done = Shell(again.with_suffix(".bin"))(*typed, cwd=again)
    assert done.returncode == 0, done.stderr


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
    bring_list(fleet, folder, tmp_path / "again")
    assert is_refused(port, stolen_tls, name)
    assert is_refused(port, stolen_tls, name, resumed)
    assert not is_refused(port, kept_tls, f"kept-{version.value}")


def test_it_is_tried_out_as_the_readme_says(fleet: Fleet, folder: Path, tmp_path: Path) -> None:
    check_trial(folder / "README.txt", Shell(tmp_path / "bin"), fleet.project.root)


def test_after_a_renewal_the_devices_of_both_cas_get_in(
    fleet: Fleet, folder: Path, tmp_path: Path
) -> None:
    port = fleet.project.broker.port
    before = context(tmp_path, fleet.root, fleet.device("before"))
    fleet.renew_ca()
    bring_list(fleet, folder, tmp_path / "again")
    after = context(tmp_path, fleet.root, fleet.device("after"))
    assert not is_refused(port, before, "before")
    assert not is_refused(port, after, "after")


def test_the_devices_of_a_revoked_ca_are_refused_and_those_of_its_successor_are_not(
    fleet: Fleet, folder: Path, tmp_path: Path
) -> None:
    port = fleet.project.broker.port
    old_tls = context(tmp_path, fleet.root, fleet.device("of-the-old"))
    fleet.revoke_ca(fleet.renew_ca())
    new_tls = context(tmp_path, fleet.root, fleet.device("of-the-new"))
    assert not is_refused(port, old_tls, "of-the-old")  # nobody has told the broker yet
    before = {path.name for path in (folder / "crl").iterdir()}
    bring_list(fleet, folder, tmp_path / "again")
    assert is_refused(port, old_tls, "of-the-old")
    assert not is_refused(port, new_tls, "of-the-new")
    # the old CA's own list is gone, too
    assert len(before - {path.name for path in (folder / "crl").iterdir()}) == 1


def test_the_roots_list_alone_refuses_the_devices_of_a_revoked_ca(
    fleet: Fleet, folder: Path, tmp_path: Path
) -> None:
    """Whoever brings the lists without taking the old ones away has the old CA's still there."""
    port = fleet.project.broker.port
    old_tls = context(tmp_path, fleet.root, fleet.device("of-the-old"))
    fleet.revoke_ca(fleet.renew_ca())
    new_tls = context(tmp_path, fleet.root, fleet.device("of-the-new"))
    fleet.export("rabbitmq", tmp_path / "again")
    for path in (tmp_path / "again" / "crl").iterdir():
        path.replace(folder / "crl" / path.name)
    assert is_refused(port, old_tls, "of-the-old")
    assert not is_refused(port, new_tls, "of-the-new")
