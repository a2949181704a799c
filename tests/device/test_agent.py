"""The agent's endless climb, on CPython: what fails is reported, and it tries again, in good time.

The servers are real TLS on loopback; only what has to break, break by the test.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import handshake, pki, servers, smallbroker
from support.handshake import server_context
from support.source import Source

from firmshake.event import STAGES, Event, Output
from firmshake.reader import Reader
from firmshake_agent import agent, mqtt
from firmshake_agent.failure import Failure
from firmshake_agent.ladder import Climb
from firmshake_agent.report import Report
from firmshake_agent.runtime_cpython import Runtime


class EnoughError(BaseException):
    """Ends a run that has no end."""


class Board(Runtime):
    """CPython's runtime that records the waits between climbs, and ends at the last one."""

    def __init__(self, climbs: int = 1) -> None:
        super().__init__()
        self.slept: list[int] = []
        self.sockets: list[socket.socket] = []
        self._climbs = climbs

    def sleep(self, ms: int) -> None:
        self.slept.append(ms)
        if len(self.slept) == self._climbs:
            raise EnoughError

    def connect(self, target: tuple[int, object], limit_ms: int) -> socket.socket:
        sock = super().connect(target, limit_ms)
        self.sockets.append(sock)
        return sock


def run(board: Board, source: object) -> list[Event]:
    """The events of the agent's run, which ends after the board's last climb."""
    text: list[str] = []
    with pytest.raises(EnoughError):
        agent.run(board, source, text.append)
    return read(text)


def read(text: list[str]) -> list[Event]:
    """The events that were written: each line is an event, or a remark that belongs to one."""
    reader = Reader()
    found = reader.feed("".join(text).encode("ascii")) + reader.close()
    assert [each for each in found if isinstance(each, Output)] == []
    return [each for each in found if isinstance(each, Event)]


def verdicts(events: list[Event]) -> list[str]:
    return [event.verdict for event in events if event.state == "fail" and event.verdict]


@contextmanager
def mqtt_server(version: str = "1.2", handle: servers.Handler | None = None) -> Iterator[int]:
    made = server_context(version, clients=handshake.fleet())
    with servers.tls(made, handle or smallbroker.broker()) as port:
        yield port


# a climb that succeeds, line by line


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_whole_climbs_lines_are_read_back(version: str) -> None:
    text: list[str] = []
    with mqtt_server(version) as port:
        board = Board()
        climb = Climb(board, Report(board, text.append), Source(pki.settings(port)))
        climb.up()
        climb.close()
    events = read(text)
    stages = [stage for stage in STAGES if stage != "websocket"]
    assert [(each.stage, each.state) for each in events] == [
        (stage, state) for stage in stages for state in ("start", "ok")
    ]
    assert [each.seq for each in events] == list(range(len(events)))
    assert [each.ms for each in events] == sorted(each.ms for each in events)
    passed = {each.stage: each.fields for each in events if each.state == "ok"}
    assert all(each.took_ms is not None for each in events if each.state == "ok")
    assert passed["identity"]["device"] == pki.DEVICE
    assert passed["tcp"]["port"] == str(port)
    assert passed["tls"]["tls"] == version
    assert passed["subscribe"]["topic"] == f"devices/{pki.DEVICE}/echo"
    assert events[-1].verdict == "ready"
    assert all(len(line) <= 1025 for line in text)


def test_a_failures_lines_are_read_back_with_why_and_fix() -> None:
    events = run(Board(), Source(pki.settings(servers.free_port())))
    failed = events[-2]
    assert (failed.stage, failed.state, failed.verdict) == ("tcp", "fail", "tcp/refused")
    assert failed.evidence.keys() == {"addr", "errno", "host", "port"}
    assert failed.why.startswith("127.0.0.1 (127.0.0.1) refuses connections on port ")
    assert failed.fix
    assert (events[0].stage, events[0].state) == ("boot", "info")
    assert events[0].fields.keys() == {"agent", "runtime", "machine"}


def test_hostile_names_in_the_evidence_reach_the_reader_unharmed() -> None:
    text: list[str] = []
    names = "\r\n@fs1 0 0 ready ok *0000\n- why: {host} [x] %0A é 100% =*"
    report = Report(Board(), text.append)
    report.start("tcp")
    report.fail(Failure("tcp", "refused", {"host": names, "addr": names, "port": 1}))
    assert sum(line.count("@fs1 ") for line in text) == 2 + 2, "two events, and twice in the why"
    first = Reader().feed(text[0].encode() + text[1].encode() + b"x\n")
    event = next(each for each in first if isinstance(each, Event) and each.state == "fail")
    assert event.fields["host"] == names


# what ends a climb


def test_what_a_climb_has_opened_is_closed_before_the_next() -> None:
    board = Board(climbs=3)
    with servers.tcp(servers.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        events = run(board, Source(pki.settings(port)))
    assert verdicts(events) == ["tls.client_hello/not_tls_http"] * 3
    assert len(board.sockets) == 3
    assert [sock.fileno() for sock in board.sockets] == [-1] * 3


def test_retries_are_never_closer_than_a_second_and_grow_further_apart() -> None:
    board = Board(climbs=40)
    events = run(board, Source(pki.settings(servers.free_port())))
    assert verdicts(events) == ["tcp/refused"] * 40
    assert all(1000 <= ms <= 64000 for ms in board.slept)
    assert all(ms > 30000 for ms in board.slept[8:])
    retries = [event.fields["retry_ms"] for event in events if "retry_ms" in event.fields]
    assert retries == [str(ms) for ms in board.slept], "each wait is announced"
    assert [event.seq for event in events] == list(range(len(events)))


class Broken(Board):
    """A board on which one call of the runtime raises."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(climbs=2)
        self._broken = name
        self._error = error

    def __getattribute__(self, name: str) -> object:
        if name == object.__getattribute__(self, "__dict__").get("_broken"):
            raise self._error
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", ["context", "resolve", "connect"])
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "out_of_memory"),
        (KeyError("code"), "agent_error"),
        (ValueError("x" * 500 + "\n@fs1 "), "agent_error"),
        (AssertionError(), "agent_error"),
    ],
)
def test_an_unexpected_exception_in_a_stage_is_reported_and_retried(
    name: str, error: Exception, cause: str
) -> None:
    stage = {"context": "identity", "resolve": "dns", "connect": "tcp"}[name]
    board = Broken(name, error)
    events = run(board, Source(pki.settings(servers.free_port())))
    assert verdicts(events) == [f"{stage}/{cause}"] * 2
    failed = next(event for event in events if event.state == "fail")
    assert failed.why
    assert failed.fix
    assert min(board.slept) >= 1000
    if cause == "agent_error":
        assert type(error).__name__ in failed.why


class TightMemory(Board):
    """A board whose memory ends in the handshake."""

    def handshake(self, *arguments: object) -> None:
        raise MemoryError


def test_out_of_memory_in_the_handshake_is_never_a_certificates_fault() -> None:
    with mqtt_server() as port:
        events = run(TightMemory(), Source(pki.settings(port)))
    assert verdicts(events) == ["tls.client_hello/out_of_memory"]


@pytest.mark.parametrize("stage", ["mqtt", "subscribe", "ready"])
@pytest.mark.parametrize(
    ("error", "cause"), [(MemoryError(), "out_of_memory"), (KeyError(7), "agent_error")]
)
def test_so_is_one_from_within_the_session(
    monkeypatch: pytest.MonkeyPatch, stage: str, error: Exception, cause: str
) -> None:
    """MiniMQTT raises what it was not expected to: the board goes on all the same."""
    call = {"mqtt": "connect", "subscribe": "subscribe", "ready": "hold"}[stage]

    def broken(self: object) -> None:
        raise error

    monkeypatch.setattr(mqtt.Session, call, broken)
    board = Board(climbs=2)
    with mqtt_server() as port:
        events = run(board, Source(pki.settings(port)))
    assert verdicts(events) == [f"{stage}/{cause}"] * 2
    assert [sock.fileno() for sock in board.sockets] == [-1] * 2


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EPIPE, "gone"), KeyError(1)])
def test_an_error_while_leaving_does_not_end_the_agent(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(self: object) -> None:
        raise error

    def ended(self: object) -> None:
        raise Failure("ready", "closed", {"held_ms": 1})

    monkeypatch.setattr(mqtt.Session, "leave", broken)
    monkeypatch.setattr(mqtt.Session, "hold", ended)
    board = Board(climbs=2)
    with mqtt_server() as port:
        events = run(board, Source(pki.settings(port)))
    assert verdicts(events) == ["ready/closed"] * 2
    assert [sock.fileno() for sock in board.sockets] == [-1] * 2


@pytest.mark.parametrize("where", ["connect", "resolve", "sleep"])
def test_ctrl_c_passes_through_and_leaves_nothing_open(where: str) -> None:
    board = Board(climbs=5)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    setattr(board, where, interrupted)
    text: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        agent.run(board, Source(pki.settings(servers.free_port())), text.append)
    assert verdicts(read(text)) == (["tcp/refused"] if where == "sleep" else [])


def test_ctrl_c_in_the_session_says_goodbye_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []

    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mqtt.Session, "hold", interrupted)
    board = Board()
    with (
        mqtt_server(handle=smallbroker.broker(heard=heard.append)) as port,
        pytest.raises(KeyboardInterrupt),
    ):
        agent.run(board, Source(pki.settings(port)), [].append)
    assert heard[-1] == smallbroker.DISCONNECT
    assert board.sockets[0].fileno() == -1


class Keeping(Board):
    """Keeps the time limits that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[int] = []

    def connect(self, target: tuple[int, object], limit_ms: int) -> socket.socket:
        self.limits.append(limit_ms)
        return super().connect(target, limit_ms)

    def assert_limits(self, *wanted: int) -> None:
        """A moment of each may be gone before it comes to connecting."""
        gone = [most - limit for most, limit in zip(wanted, self.limits, strict=True)]
        assert all(0 <= ms < most / 2 for ms, most in zip(gone, wanted, strict=True)), self.limits


def test_a_question_that_only_refines_a_verdict_is_not_waited_for_as_long() -> None:
    board = Keeping()
    with mqtt_server(handle=servers.hang_up) as port:
        events = run(board, Source(pki.settings(port, limit_ms=60000)))
    assert verdicts(events) == ["mqtt/closed"]
    board.assert_limits(60000, 5000)


@pytest.mark.parametrize(("limit_ms", "again_ms"), [(60000, 5000), (4900, 4900)])
def test_nor_is_the_question_whether_it_speaks_without_tls(limit_ms: int, again_ms: int) -> None:
    board = Keeping()
    with servers.tcp(servers.hang_up) as port:
        events = run(board, Source(pki.settings(port, limit_ms=limit_ms)))
    assert verdicts(events)[0].startswith("tls.client_hello/")
    board.assert_limits(limit_ms, again_ms)


# the session


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_idle_session_is_held_by_pings_until_the_broker_closes(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """One that answers at its leisure, too."""
    heard: list[int] = []
    hold = mqtt.Session.hold

    def patient(self: mqtt.Session) -> None:
        self._pong_ms = pki.LIMIT_MS
        hold(self)

    monkeypatch.setattr(mqtt.Session, "hold", patient)
    handle = smallbroker.broker(pings=2, heard=heard.append)
    with mqtt_server(version, handle) as port:
        events = run(Board(), Source(pki.settings(port, keepalive=1)))
    assert verdicts(events) == ["ready/closed"]
    assert heard.count(smallbroker.PINGREQ) == 3
    failed = events[-2]
    # from the first ping to the third; before the first, what was said last counts too
    assert int(failed.fields["held_ms"]) >= 2000
    assert "?" not in failed.why


def test_a_broker_that_falls_silent_is_noticed_by_the_keepalive() -> None:
    with mqtt_server(handle=smallbroker.broker(silent=3)) as port:
        events = run(Board(), Source(pki.settings(port, keepalive=1)))
    assert verdicts(events) == ["ready/keepalive_timeout"]
    assert events[-2].why == "The broker stopped answering: no PINGRESP within 1000 ms."


class LongTime(Board):
    """A board whose session ends after it held for a chosen time."""

    def __init__(self, held_ms: int, climbs: int) -> None:
        super().__init__(climbs)
        self.held_ms = held_ms
        self._jumped = 0

    def ticks(self) -> int:
        return super().ticks() + self._jumped

    def jump(self) -> None:
        self._jumped += self.held_ms

    def random(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("held_ms", "waits"), [(61000, [2000, 2000, 2000]), (1000, [2000, 4000, 8000])]
)
def test_a_session_that_held_makes_the_next_waits_short_again(
    monkeypatch: pytest.MonkeyPatch, held_ms: int, waits: list[int]
) -> None:
    board = LongTime(held_ms, climbs=3)

    def held(self: object) -> None:
        board.jump()
        raise Failure("ready", "closed", {"held_ms": board.held_ms})

    monkeypatch.setattr(mqtt.Session, "hold", held)
    with mqtt_server() as port:
        events = run(board, Source(pki.settings(port)))
    assert verdicts(events) == ["ready/closed"] * 3
    assert board.slept == waits


# the files


def test_a_folders_files_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "key.der").write_bytes(b"\x30\x00")
    assert agent.Folder(str(tmp_path)).read("key.der") == b"\x30\x00"
    with pytest.raises(OSError):
        agent.Folder(str(tmp_path)).read("cert.der")
