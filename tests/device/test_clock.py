"""The clock stage: what it believes, and of whom. The time server is a real one, on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.servers import free_port

from firmshake_agent import causes, clock
from firmshake_agent.failure import Failure

NTP_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
TODAY = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
FLOOR = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
WOKE = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
EARLIEST = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
PATIENCE_S = 60  # seconds


def packet(
    seconds: int, *, leap: int = 0, version: int = 4, mode: int = 4, stratum: int = 2
) -> bytes:
    """A server's answer (RFC 5905, 7.3): its transmit timestamp is its last field."""
    head = bytes([leap << 6 | version << 3 | mode, stratum, 6, 0xEC])
    return head + bytes(36) + (seconds % 2**32).to_bytes(4, "big") + bytes(4)


def ntp(when: datetime) -> int:
    return int((when - NTP_EPOCH).total_seconds())


@dataclass
class Board:
    """A runtime as the clock stage uses it."""

    time: int = WOKE
    clock_is_kept: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)

    def now(self) -> int:
        return self.time

    def set_now(self, seconds: int) -> None:
        self.time = seconds

    def exchange(self, host: str, port: int, request: bytes, limit_ms: int) -> bytes:
        self.asked.append((host, port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            # each of these servers answers, or its port is closed: nothing is waited for in vain
            sock.settimeout(PATIENCE_S)
            sock.connect((host, port))  # so that a refusal is heard
            sock.send(request)
            return sock.recv(512)


@dataclass
class Settings:
    """An identity as the clock stage uses it."""

    ntp: list[str] = field(default_factory=list)
    floor: int = 0


@dataclass
class Warnings:
    """A report as the clock stage uses it."""

    said: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def warn(self, stage: str, cause: str, evidence: dict[str, object]) -> None:
        self.said.append((stage, cause, evidence))


@contextlib.contextmanager
def server(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A time server that gives this answer: its `host:port`, and the requests that came."""
    requests: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                request, client = sock.recvfrom(512)
                if not request:
                    return
                requests.append(request)
                sock.sendto(answer, client)

        thread = threading.Thread(target=serve)
        thread.start()
        host, port = sock.getsockname()
        try:
            yield f"{host}:{port}", requests
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (host, port))
            thread.join()


def nowhere() -> str:
    """A port of loopback that nothing listens on: the answer is an ICMP error, not silence."""
    return f"127.0.0.1:{free_port()}"


def settle(board: Board, settings: Settings) -> tuple[clock.Clock, Warnings]:
    report = Warnings()
    return clock.settle(board, settings, report), report


# the packet


@given(st.datetimes(datetime(1970, 1, 1), datetime(2104, 1, 1)))  # noqa: DTZ001
def test_the_time_is_read_on_both_sides_of_2036(when: datetime) -> None:
    """The 32 bits come round on 2036-02-07; the first half of them is the later era."""
    when = when.replace(microsecond=0, tzinfo=UTC)
    if ntp(when) in (2**32, 0):
        return  # a transmit timestamp of zero is none
    assert clock.read_answer(packet(ntp(when))) == int(when.timestamp())


def test_the_second_before_and_after_the_rollover() -> None:
    before = clock.read_answer(packet(2**32 - 1))
    after = clock.read_answer(packet(2**32 + 1))
    assert before is not None
    assert after == before + 2
    assert datetime.fromtimestamp(after, UTC) == datetime(2036, 2, 7, 6, 28, 17, tzinfo=UTC)


def test_every_leap_warning_but_the_alarm_is_good() -> None:
    read = [clock.read_answer(packet(ntp(NTP_EPOCH), leap=leap)) for leap in range(4)]
    assert read == [None] * 4, "a zero timestamp"
    good = [clock.read_answer(packet(2**31 + 5, leap=leap)) for leap in range(4)]
    assert [each is not None for each in good] == [True, True, True, False]


@pytest.mark.parametrize("stratum", [0, 16, 255])
def test_a_kiss_of_death_and_an_unsynchronised_server_are_refused(stratum: int) -> None:
    assert clock.read_answer(packet(2**31 + 5, stratum=stratum)) is None
    assert clock.read_answer(packet(2**31 + 5, stratum=15)) is not None


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 5, 6, 7])
def test_only_a_server_is_believed(mode: int) -> None:
    assert clock.read_answer(packet(2**31 + 5, mode=mode)) is None


def test_a_short_packet_is_refused_and_a_long_one_is_read() -> None:
    whole = packet(2**31 + 5)
    assert len(whole) == 48
    assert [clock.read_answer(whole[:size]) for size in range(48)] == [None] * 48
    assert clock.read_answer(None) is None
    assert clock.read_answer(whole + bytes(20)) == clock.read_answer(whole)


@given(st.binary(max_size=80))
def test_no_bytes_break_it(data: bytes) -> None:
    seconds = clock.read_answer(data)
    assert seconds is None or 0 < seconds + 2208988800 <= 2**32 + 2**31


# the stage


def test_a_time_server_sets_the_clock() -> None:
    board = Board()
    with server(packet(TODAY + 2208988800)) as (name, requests):
        settled, report = settle(board, Settings([name], FLOOR))
    assert (settled.source, settled.doubtful, board.time) == ("ntp", False, TODAY)
    assert report.said == []
    assert [(len(each), each[0]) for each in requests] == [(48, 0x1B)], "version 3, client"


def test_the_port_is_123_where_none_is_named() -> None:
    board = Board()
    board.exchange = lambda host, port, request, limit_ms: packet(port)  # type: ignore[method-assign]
    assert clock.ask(board, "time.example") == 123 + 2**32 - 2208988800
    assert clock.ask(board, "time.example:1234") == 1234 + 2**32 - 2208988800


@pytest.mark.parametrize("name", ["", ":", "::1", "time.example:", "time.example:x", "a:1:2"])
def test_a_server_that_cannot_be_one_is_no_answer(name: str) -> None:
    board = Board()

    def refuse(host: str, port: int, request: bytes, limit_ms: int) -> bytes:
        raise OSError(2)

    board.exchange = refuse  # type: ignore[method-assign]
    assert clock.ask(board, name) is None


def test_the_next_server_is_asked_where_one_does_not_know() -> None:
    board = Board()
    with (
        server(packet(TODAY + 2208988800, leap=3)) as (lost, first),
        server(packet(TODAY + 2208988800)) as (good, second),
    ):
        settled, _ = settle(board, Settings([nowhere(), lost, good], FLOOR))
        assert (len(first), len(second)) == (1, 1)
    assert (settled.source, board.time) == ("ntp", TODAY)
    assert len(board.asked) == 3


def test_a_server_that_is_behind_the_floor_is_not_believed() -> None:
    board = Board()
    with server(packet(FLOOR - 1 + 2208988800)) as (name, _):
        settled, report = settle(board, Settings([name], FLOOR))
    assert (settled.source, settled.doubtful, board.time) == ("floor", True, FLOOR)
    assert len(report.said) == 1


def test_without_an_answer_there_is_a_warning_that_explains_itself() -> None:
    name = nowhere()
    board = Board()
    settled, report = settle(board, Settings([name], FLOOR))
    assert (settled.source, settled.doubtful, board.time) == ("floor", True, FLOOR)
    [(stage, cause, evidence)] = report.said
    assert (stage, cause) == ("clock", "ntp_unreachable")
    found = causes.lookup("clock/ntp_unreachable")
    assert found is not None
    why = causes.fill(found[0], evidence)
    assert name in why
    assert "2026-01-01T00:00:00Z" in why
    assert evidence["clock"] == "floor"
    assert "?" not in why


@pytest.mark.parametrize("time", [WOKE, FLOOR - 1, FLOOR, TODAY])
def test_without_a_time_server_named_there_is_no_warning(time: int) -> None:
    board = Board(time)
    settled, report = settle(board, Settings([], FLOOR))
    assert report.said == []
    assert board.time == max(time, FLOOR)
    assert settled.source == ("rtc" if time >= FLOOR else "floor")
    assert settled.doubtful


@pytest.mark.parametrize("servers", [0, 1])
@pytest.mark.parametrize("floor", [0, FLOOR])
@pytest.mark.parametrize("time", [0, WOKE, EARLIEST - 1, EARLIEST, TODAY])
def test_not_set_only_without_a_floor_and_before_2025(time: int, floor: int, servers: int) -> None:
    settings = Settings([nowhere()] * servers, floor)
    if floor or time >= EARLIEST:
        settled, report = settle(Board(time), settings)
        assert settled.doubtful
        assert len(report.said) == servers
        return
    with pytest.raises(Failure) as raised:
        settle(Board(time), settings)
    assert (raised.value.stage, raised.value.cause) == ("clock", "not_set")
    assert "now" in raised.value.evidence


def test_without_a_floor_a_time_server_is_enough() -> None:
    board = Board()
    with server(packet(TODAY + 2208988800)) as (name, _):
        settled, _ = settle(board, Settings([name]))
    assert (settled.source, board.time) == ("ntp", TODAY)


@pytest.mark.parametrize(("time", "doubtful"), [(WOKE, True), (FLOOR, False), (TODAY, False)])
def test_a_computers_clock_is_left_alone(time: int, doubtful: bool) -> None:
    board = Board(time, clock_is_kept=True)
    settled, report = settle(board, Settings([nowhere()], FLOOR))
    assert (settled.source, settled.doubtful, board.time) == ("host", doubtful, time)
    assert (report.said, board.asked) == ([], [])
