"""`firmshake fleet watch` at the real mosquitto, with a project's own rules; devices publish."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import desk, exported, pki, recording, screen, servers, watching
from support.boardtools import wait_until
from support.exported import Fleet
from support.watching import FAILURE, client, report

from firmshake import brokerconfig, revocation, watcher
from firmshake.ca.identity import Identity
from firmshake.errors import Error
from firmshake.fleet import watchidentity
from firmshake.fleet.watchlink import Link
from firmshake.project import Broker
from firmshake.registry import Diagnosis, Registry


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return exported.fleet(tmp_path_factory.mktemp("watch") / "greenhouse")


@pytest.fixture(scope="module")
def broker(fleet: Fleet) -> Iterator[None]:
    """The project's own broker, which runs."""
    with desk.broker(fleet.project):
        yield


@pytest.fixture
def port(fleet: Fleet, broker: None, the_watchers: Identity, tmp_path: Path) -> int:
    """Where the broker is, which keeps nothing for a watcher from another test."""
    with client(the_watchers, fleet.project.broker.port, tmp_path):
        return fleet.project.broker.port


@pytest.fixture(scope="module")
def pump(fleet: Fleet) -> Identity:
    return fleet.device("pump")


@pytest.fixture(scope="module")
def valve(fleet: Fleet) -> Identity:
    return fleet.device("valve")


@pytest.fixture(scope="module")
def the_watchers(fleet: Fleet) -> Identity:
    """An identity as the command has it, to try more with than the command does."""
    issuing = desk.authority(fleet.project)
    return watchidentity.issue(issuing, fleet.registry, now=datetime.now(UTC), days=1)


# the command


def test_what_boards_report_is_shown_and_kept(
    fleet: Fleet, port: int, pump: Identity, valve: Identity, tmp_path: Path
) -> None:
    with (
        watching.watching(fleet.project) as watch,
        client(pump, port, tmp_path) as one,
        client(valve, port, tmp_path) as other,
    ):
        watch.next(event="note", text="listening at 127.0.0.1")
        one.publish("devices/pump/diag", b"\xff\x00")
        one.publish("devices/pump/diag", report("pump", {**FAILURE, "ev": {"ssid": "shed"}}))
        other.publish("devices/valve/diag", report("valve"))
        found = watch.next(event="verdict", device_id="pump")
        assert (found["verdict"], found["count"]) == ("wifi/wrong_password", 5)
        assert "shed" in found["why"]
        assert found["fix"]
        watch.next(event="verdict", device_id="valve", verdict="ready")
        watch.process.send_signal(signal.SIGINT)
        counts = watch.next(event="counts")
        assert (counts["boards"], counts["ready"], counts["refused"]) == (2, 1, 1)
        assert counts["stages"] == {"wifi": 1}
        assert watch.ended() == (0, "")
    kept = {one.device_id: one for one in fleet.registry.diagnoses()}
    assert kept["pump"].verdict == "wifi/wrong_password"
    assert kept["pump"].source == f"mqtt 127.0.0.1:{port}"
    assert kept["valve"].verdict == "ready"
    assert fleet.registry.failing_stages() == {"wifi": 1}
    shown = desk.firmshake("fleet", "status", cwd=fleet.project.root, passphrase=None)
    assert "what boards said last" in shown.stdout
    assert "wifi  " in shown.stdout
    assert fleet.registry.device(watcher.NAME) is None


def test_a_terminal_shows_the_newest_verdicts_and_the_bars(
    fleet: Fleet, port: int, pump: Identity, tmp_path: Path
) -> None:
    with desk.typed() as fd, client(pump, port, tmp_path) as one:
        arguments = ("fleet", "watch", "--passphrase-fd", str(fd))
        shown = screen.firmshake(*arguments, cwd=fleet.project.root, pass_fds=[fd])
        try:
            shown.wait_for("listening at 127.0.0.1")
            one.publish("devices/pump/diag", report("pump", FAILURE))
            said = shown.wait_for("wifi/wrong_password")
            assert "pump" in said
            shown.type("\x03")
            assert shown.end() == 0
            said = shown.wait_for("boards by the stage that failed last")
            assert "1 board heard" in said
            shown.wait_for("█ 1")
            assert shown.modes == shown.before
        finally:
            shown.close()


def test_an_unknown_device_is_told_and_a_device_speaks_for_itself_alone(
    fleet: Fleet, port: int, pump: Identity, tmp_path: Path
) -> None:
    stranger = desk.authority(fleet.project).issue("stranger", now=datetime.now(UTC))
    with (
        watching.watching(fleet.project) as watch,
        client(pump, port, tmp_path) as one,
        client(stranger, port, tmp_path) as unknown,
    ):
        watch.next(event="note", text="listening")
        one.publish("devices/pump/diag", report("valve", FAILURE))
        watch.next(event="note", text="pump: a report in the name of another device")
        # these the broker does not pass on: the next thing that is heard is the last
        one.publish("devices/valve/diag", report("valve", FAILURE))
        one.publish(f"devices/{watcher.NAME}/diag", report(watcher.NAME, FAILURE))
        unknown.publish("devices/stranger/diag", report("stranger", FAILURE))
        watch.next(event="note", text="stranger: the registry knows no such device")
        one.publish("devices/pump/diag", report("pump"))
        watch.next(event="verdict", device_id="pump", verdict="ready")
        watch.process.send_signal(signal.SIGTERM)
        counts = watch.next(event="counts")
        assert (counts["messages"], counts["refused"], counts["unknown"]) == (3, 1, 1)
    assert "stranger" not in {one.device_id for one in fleet.registry.diagnoses()}


def test_it_ends_after_the_time_that_was_asked_for(fleet: Fleet, port: int) -> None:
    with watching.watching(fleet.project, "--for", "0.5") as watch:
        assert watch.next(event="counts")["messages"] == 0
        assert watch.ended() == (0, "")


def test_a_second_watcher_of_a_project_is_refused_and_the_first_goes_on(
    fleet: Fleet, port: int, pump: Identity, tmp_path: Path
) -> None:
    with watching.watching(fleet.project) as first, client(pump, port, tmp_path) as one:
        first.next(event="note", text="listening")
        with watching.watching(fleet.project) as second:
            status, said = second.ended()
        assert status == 1
        assert "another fleet watch of greenhouse runs on this computer" in said
        one.publish("devices/pump/diag", report("pump"))
        first.next(event="verdict", device_id="pump")


def test_a_watcher_on_another_computer_puts_out_the_first_who_says_so(
    fleet: Fleet, port: int
) -> None:
    other, _ = linked(fleet, fleet.project.broker)
    with watching.watching(fleet.project) as first:
        first.next(event="note", text="listening")
        until(other, lambda: other.is_listening)
        status, said = first.ended()
        assert status == 1
        assert "another fleet watch has begun" in said
    other.close()


def test_it_comes_back_when_the_broker_does(tmp_path: Path) -> None:
    fleet = exported.fleet(tmp_path / "greenhouse")
    pump, port = fleet.device("pump"), fleet.project.broker.port
    with watching.watching(fleet.project) as watch:
        watch.next(event="note", text=f"no connection to 127.0.0.1:{port}: connection refused")
        for number in (1, 2):
            with desk.broker(fleet.project), client(pump, port, tmp_path) as one:
                watch.next(event="note", text="listening")
                one.publish("devices/pump/diag", report("pump", {**FAILURE, "n": number}))
                watch.next(event="verdict", device_id="pump", count=number)
            watch.next(event="note", text="trying again")


# what boards report while no watcher is there


def heard(fleet: Fleet, pump: Identity, folder: Path) -> int:
    """Watch until all that waited is kept; return how many messages it was."""
    with (
        watching.watching(fleet.project) as watch,
        client(pump, fleet.project.broker.port, folder) as one,
    ):
        watch.next(event="note", text="listening")
        one.publish("devices/pump/diag", report("pump", {**FAILURE, "n": 12345}))
        watch.next(event="verdict", count=12345)
        watch.process.send_signal(signal.SIGINT)
        counts = watch.next(event="counts")
        assert watch.ended() == (0, "")
    return int(counts["messages"]) - 1


def test_what_boards_report_meanwhile_waits_for_the_next_watcher(
    fleet: Fleet, port: int, pump: Identity, tmp_path: Path
) -> None:
    assert heard(fleet, pump, tmp_path) == 0
    with client(pump, port, tmp_path) as one:
        one.publish("devices/pump/diag", report("pump"))
        one.publish("devices/pump/diag", report("pump", {**FAILURE, "n": 7}))
    with watching.watching(fleet.project) as watch:
        watch.next(event="verdict", device_id="pump", count=7)
        watch.process.send_signal(signal.SIGINT)
        assert watch.next(event="counts")["messages"] == 2
    with watching.watching(fleet.project) as watch:
        watch.next(event="note", text="the broker has kept what boards reported meanwhile")
    assert heard(fleet, pump, tmp_path) == 0


def test_it_waits_while_the_broker_is_restarted_too(tmp_path: Path) -> None:
    fleet = exported.fleet(tmp_path / "greenhouse")
    pump, port = fleet.device("pump"), fleet.project.broker.port
    with desk.broker(fleet.project):
        assert heard(fleet, pump, tmp_path) == 0
        with client(pump, port, tmp_path) as one:
            one.publish("devices/pump/diag", report("pump", FAILURE))
    with desk.broker(fleet.project):
        assert heard(fleet, pump, tmp_path) == 1
    conf = fleet.project.broker_folder / "mosquitto.conf"
    conf.write_text(conf.read_text().replace("persistence true", "persistence false"))
    with watching.watching(fleet.project) as watch:  # as at the broker of an older project
        with desk.broker(fleet.project):
            watch.next(event="note", text="from now on the broker keeps reports")
        with desk.broker(fleet.project):
            watch.next(event="note", text="the broker has forgotten the watcher")


def test_a_watcher_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    fleet = exported.fleet(tmp_path / "greenhouse")
    names = [f"pump-{number:03}" for number in range(200)]
    for name in names:
        fleet.registry.set_state(name, "planned")
    hill = fleet.device("hill")
    with (fleet.project.broker_folder / "acl").open("a") as rules:
        rules.write("user hill\ntopic write devices/+/diag\n")

    def kept(turn: int) -> int:
        return sum(one.count == turn for one in fleet.registry.diagnoses())

    def report_all(turn: int) -> None:
        with client(hill, fleet.project.broker.port, tmp_path) as mouth:
            for name in names:
                mouth.publish(f"devices/{name}/diag", report(name, {**FAILURE, "n": turn}))

    with desk.broker(fleet.project):
        for turn in range(1, 4):
            with watching.watching(fleet.project) as watch:
                watch.next(event="note", text="listening")
                speaking = threading.Thread(target=report_all, args=(turn,))
                speaking.start()
                wait_until(lambda: kept(turn) > 0)  # noqa: B023  # called here
                watch.process.kill()
                speaking.join()
        with watching.watching(fleet.project) as watch:
            wait_until(lambda: kept(3) == len(names))
            assert watch.process.poll() is None


def test_what_was_not_kept_comes_again_also_with_another_certificate(
    fleet: Fleet, port: int, pump: Identity, tmp_path: Path
) -> None:
    topic = "devices/pump/diag"
    with client(pump, port, tmp_path) as one:
        first, said = linked(fleet, fleet.project.broker)
        until(first, lambda: first.is_listening)
        one.publish(topic, report("pump"))
        until(first, lambda: topic in said)
        cut(first)
        second, said = linked(fleet, fleet.project.broker)
        until(second, lambda: topic in said)
        second.settle()
        cut(second)
        third, said = linked(fleet, fleet.project.broker)
        until(third, lambda: third.is_listening)
        one.publish(topic, report("pump"))
        until(third, lambda: topic in said)
        assert said.count(topic) == third.unsettled == 1
        third.close()


def test_what_comes_again_in_a_new_connection_counts_once(
    fleet: Fleet, port: int, pump: Identity, tmp_path: Path
) -> None:
    topic = "devices/pump/diag"
    link, said = linked(fleet, fleet.project.broker)
    until(link, lambda: link.is_listening)
    with client(pump, port, tmp_path) as one:
        one.publish(topic, report("pump"))
        until(link, lambda: topic in said)
        cut(link)
        until(link, lambda: not link.is_listening)
        assert link.unsettled == 0  # its number was the connection's
        until(link, lambda: link.unsettled == 1)
        link.settle()
        one.publish(topic, report("pump"))
        until(link, lambda: link.unsettled == 1)
        assert said.count(topic) == 2
    link.close()


def test_without_its_rule_it_hears_nothing_and_says_which_lines_to_add(tmp_path: Path) -> None:
    fleet = exported.fleet(tmp_path / "greenhouse")
    pump, port = fleet.device("pump"), fleet.project.broker.port
    rules = fleet.project.broker_folder / "acl"
    rules.write_text(brokerconfig.DEVICES_ACL)  # as an older firmshake wrote it
    with desk.broker(fleet.project), client(pump, port, tmp_path) as one:
        with watching.watching(fleet.project) as watch:
            watch.next(event="note", text="listening")
            one.publish("devices/pump/diag", report("pump", FAILURE))
            watch.process.send_signal(signal.SIGINT)
            assert watch.next(event="counts")["messages"] == 0
            _, said = watch.ended()
        lines = [line.strip() for line in said.splitlines() if line.startswith("    ")]
        assert lines == brokerconfig.WATCHER_ACL.splitlines()[1:]
        rules.write_text(rules.read_text() + "\n".join(lines) + "\n")
    with (
        desk.broker(fleet.project),
        client(pump, port, tmp_path) as one,
        watching.watching(fleet.project) as watch,
    ):
        watch.next(event="note", text="listening")
        one.publish("devices/pump/diag", report("pump", FAILURE))
        watch.next(event="verdict", device_id="pump")


def test_a_broker_of_another_ca_is_not_talked_to(tmp_path: Path) -> None:
    ours, other = (exported.fleet(tmp_path / name) for name in ("ours", "other"))
    for name in ("broker.pem", "ca.crt", "crl.pem"):
        content = (other.project.broker_folder / name).read_bytes()
        (ours.project.broker_folder / name).write_bytes(content)
    with desk.broker(ours.project), watching.watching(ours.project) as watch:
        status, said = watch.ended()
    assert status == 1
    assert "the broker's certificate is refused" in said
    assert "firmshake doctor" in said


# the connection


def linked(fleet: Fleet, broker: Broker) -> tuple[Link, list[str]]:
    """A connection, and what it says."""
    issuing = desk.authority(fleet.project)
    own = watchidentity.issue(issuing, fleet.registry, now=datetime.now(UTC), days=1)
    said: list[str] = []
    context = watchidentity.context(own, broker)
    return Link(broker, context, lambda topic, payload: said.append(topic), said.append), said


def cut(link: Link) -> None:
    """End its connection as a dead computer or network does: without a word to the broker."""
    line = link._client.socket()
    assert line is not None
    line.shutdown(socket.SHUT_RDWR)


def until(link: Link, condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + watching.LIMIT_S
    while not condition():
        assert time.monotonic() < ends
        link.work(0.1)


def test_it_comes_in_over_websockets_too(tmp_path: Path) -> None:
    fleet = exported.fleet(tmp_path / "greenhouse")
    pump, plain = fleet.device("pump"), fleet.project.broker
    web = replace(plain, port=servers.free_port(), transport="wss", path="/mqtt")
    conf = fleet.project.broker_folder / "mosquitto.conf"
    text = conf.read_text()
    names = ("certfile", "keyfile", "cafile", "crlfile", "require", "use_", "allow_")
    tls = [line for line in text.splitlines() if line.startswith(names)]
    lines = [f"listener {web.port} 127.0.0.1", "protocol websockets", *tls]
    conf.write_text(text + "\n".join(lines) + "\n")
    link, said = linked(fleet, web)
    with desk.broker(fleet.project), client(pump, plain.port, tmp_path) as one:
        until(link, lambda: link.is_listening)
        one.publish("devices/pump/diag", report("pump"))
        until(link, lambda: "devices/pump/diag" in said)
        link.close()


def test_the_brokers_name_is_checked_and_not_where_it_is_reached(tmp_path: Path) -> None:
    project = desk.make_project(tmp_path / "shed", host="localhost")
    fleet = Fleet(project, Registry.open(project.registry_path))
    named = replace(project.broker, host="127.0.0.1", server_name="localhost")
    with desk.broker(project):
        link, _ = linked(fleet, named)
        until(link, lambda: link.is_listening)
        link.close()
        other, _ = linked(fleet, replace(named, server_name="127.0.0.1"))
        with pytest.raises(Error, match="the broker's certificate is refused"):
            until(other, lambda: other.is_listening)


def test_a_revoked_watcher_is_not_let_in(tmp_path: Path) -> None:
    fleet = exported.fleet(tmp_path / "greenhouse")
    link, said = linked(fleet, fleet.project.broker)
    (row,) = fleet.registry.certificates(kind="other")
    fleet.registry.revoke([row.serial_number], "keyCompromise")
    now = datetime.now(UTC)
    revocation.publish(fleet.project, fleet.registry, lambda _: desk.PASSPHRASE, now=now)
    with desk.broker(fleet.project):
        until(link, lambda: len(said) >= 2)
    assert not link.is_listening
    assert all("trying again" in words for words in said)


# the broker's rules


def test_the_watcher_reads_reports_and_nothing_else(
    fleet: Fleet, port: int, pump: Identity, the_watchers: Identity, tmp_path: Path
) -> None:
    with client(the_watchers, port, tmp_path) as ear, client(pump, port, tmp_path) as one:
        ear.subscribe("#")
        for topic in ("echo", "diag/more", "a/diag"):
            one.publish(f"devices/pump/{topic}", b"no")
        one.publish("devices/pump/diag", b"yes")
        assert ear.heard.get(timeout=watching.LIMIT_S) == ("devices/pump/diag", b"yes")
        assert ear.heard.empty()


def test_the_watcher_publishes_nothing(
    fleet: Fleet, port: int, pump: Identity, the_watchers: Identity, tmp_path: Path
) -> None:
    with client(the_watchers, port, tmp_path) as mouth, client(pump, port, tmp_path) as one:
        mouth.subscribe("#")
        one.subscribe("#")
        own = f"devices/{watcher.NAME}"
        for topic in ("devices/pump/diag", "devices/pump/x", "x", f"{own}/diag", f"{own}/x"):
            mouth.publish(topic, b"no")
        one.publish("devices/pump/diag", b"yes")
        for each in (one, mouth):
            assert each.heard.get(timeout=watching.LIMIT_S) == ("devices/pump/diag", b"yes")
            assert each.heard.empty()


def test_a_device_does_not_read_the_report_of_another(
    fleet: Fleet, port: int, pump: Identity, valve: Identity, tmp_path: Path
) -> None:
    with client(valve, port, tmp_path) as ear, client(pump, port, tmp_path) as one:
        ear.subscribe(watcher.TOPICS)
        one.publish("devices/pump/diag", b"no")
        ear.publish("devices/valve/diag", b"yes")
        assert ear.heard.get(timeout=watching.LIMIT_S) == ("devices/valve/diag", b"yes")
        assert ear.heard.empty()


# the registry, in both databases


def diagnosis(device_id: str, verdict: str) -> Diagnosis:
    when = datetime(2026, 5, 4, tzinfo=UTC)
    return Diagnosis(device_id, when, verdict.split("/")[0], verdict, "{}", 1, "here")


def test_a_batch_keeps_the_last_of_each_and_names_the_unknown(registry: Registry) -> None:
    for name in ("a", "b", "c"):
        registry.set_state(name, "planned")
    batch = [diagnosis("b", "wifi/no_ip"), diagnosis("a", "tcp/refused"), diagnosis("z", "dns/x")]
    assert registry.put_diagnoses(batch) == {"z"}
    assert registry.failing_stages() == {"tcp": 1, "wifi": 1}
    later = [diagnosis("a", "wifi/no_ip"), diagnosis("c", "ready")]
    assert registry.put_diagnoses(later) == set()
    assert registry.diagnoses() == [later[0], batch[0], later[1]]
    assert registry.failing_stages() == {"wifi": 2}
    assert registry.put_diagnoses(later) == set()  # as it comes again after a crash
    assert registry.diagnoses() == [later[0], batch[0], later[1]]
    assert registry.put_diagnoses([]) == set()


# the whole road


def test_a_real_board_reports_what_failed_before_it_got_through(tmp_path: Path) -> None:
    fleet = exported.fleet(tmp_path / "greenhouse")
    made = fleet.device(pki.DEVICE)
    ours = pki.Fleet(desk.authority(fleet.project), made, made)
    with (
        desk.broker(fleet.project),
        watching.watching(fleet.project) as watch,
        recording.board(tmp_path, ours) as board,
    ):
        watch.next(event="note", text="listening")
        nobody = servers.free_port()
        board.aim(nobody, limit_ms=60_000)
        board.start()
        assert board.verdict() == "tcp/refused"
        board.aim(fleet.project.broker.port, limit_ms=60_000)
        # it may have tried the other once more meanwhile
        end = board.until(lambda event: event.verdict not in (None, "tcp/refused"))
        assert end.verdict == "ready"
        found = watch.next(event="verdict", device_id=pki.DEVICE)
        assert (found["stage"], found["verdict"]) == ("tcp", "tcp/refused")
        assert found["evidence"]["port"] == str(nobody)
        assert found["happened_at"] is not None
    assert fleet.registry.failing_stages() == {"tcp": 1}
