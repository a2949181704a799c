"""What a provisioned board says of its Wi-Fi, its clock and its settings: one thing is wrong each.

The boards start from a flash as `provision` writes it; `test_nothing_wrong` is the control.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import desk
from support.boardtools import begin

from firmshake import serialport
from firmshake.event import Event
from firmshake.listen import listen
from firmshake.project import Project
from firmshake.reader import Reader
from firmshake.verdict import Verdict, judge
from firmshake.virtual import VirtualBoard, Wifi

AIR = Wifi(desk.SHED.ssid, desk.SHED.password)
NTP_EPOCH = 2208988800  # seconds from 1900 to 1970 (RFC 5905, 6)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose broker runs."""
    project = desk.make_project(tmp_path_factory.mktemp("verdicts") / "fleet")
    with desk.broker(project):
        yield project


class Board:
    """A board that was provisioned; `climb` starts it and gives the events of its first climb."""

    def __init__(self, folder: Path) -> None:
        self._flash = folder / "flash"

    def climb(self, flash: bytes, air: Wifi = AIR) -> list[Event]:
        self._flash.write_bytes(flash)
        events = []
        with VirtualBoard(
            flash=self._flash, wifi=air, boot_held=True, faster_than_life=True
        ) as board:
            assert board.has_own_clock
            with serialport.open_port(board.url) as port:
                begin(board, port)
                for items in listen(port, Reader()):
                    for item in items:
                        if isinstance(item, Event) and (item.stage, item.seq) != ("boot", 0):
                            events.append(item)
                            if item.verdict is not None:
                                return events
        raise AssertionError


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def clock(events: list[Event]) -> Event:
    [found] = [event for event in events if (event.stage, event.state) == ("clock", "ok")]
    return found


def test_nothing_wrong(made: Project, board: Board) -> None:
    """The board wakes in 2000 with no time server, and goes on from its provisioning."""
    events = board.climb(desk.flash_of(made))
    assert judge(events).verdict == "ready"
    assert clock(events).fields["clock"] == "floor"
    assert clock(events).fields["now"][:10] == f"{datetime.now(UTC):%Y-%m-%d}"
    assert not [event for event in events if event.state == "warn"]


@pytest.mark.parametrize(
    ("air", "cause", "said"),
    [
        (Wifi("shed", "another password"), "wrong_password", "shed refused the password"),
        (Wifi("SHED", desk.SHED.password), "ap_not_found", "No access point named shed"),
    ],
)
def test_a_wifi_that_is_another(
    made: Project, board: Board, air: Wifi, cause: str, said: str
) -> None:
    verdict = judge(board.climb(desk.flash_of(made), air))
    assert verdict.verdict == f"wifi/{cause}"
    assert said in f"{verdict.why} {verdict.fix}"
    assert str(desk.SHED.password) not in str(verdict)


def test_an_open_wifi(made: Project, board: Board) -> None:
    flash = desk.flash_of(made, wifi={"ssid": "shed", "password": None})
    assert judge(board.climb(flash, Wifi("shed"))).verdict == "ready"


def test_a_board_without_wifi_settings(made: Project, board: Board) -> None:
    verdict = judge(board.climb(desk.flash_of(made, wifi=None)))
    assert verdict.verdict == "identity/config_invalid"
    assert "[wifi]" in verdict.why
    assert "fleet.toml" in verdict.fix


# the clock


@contextlib.contextmanager
def time_server(now: datetime) -> Iterator[str]:
    """An NTP server on loopback for which it is `now`; yields HOST:PORT."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]

        def answer() -> None:
            while True:
                query, client = server.recvfrom(512)
                if not query:
                    return
                seconds = int(now.timestamp()) + NTP_EPOCH
                # version 4, mode 4 (server), stratum 1; the transmit time is the last field
                head = b"\x24\x01" + bytes(38)
                server.sendto(head + struct.pack(">II", seconds, 0), client)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.sendto(b"", ("127.0.0.1", port))
            thread.join()


def test_a_time_server_sets_the_clock(made: Project, board: Board) -> None:
    now = datetime.now(UTC) + timedelta(days=1)
    with time_server(now) as server:
        # a board waits for 1.5 s for each: this one may be slower on a busy machine
        events = board.climb(desk.flash_of(made, ntp=[server] * 20))
    assert judge(events).verdict == "ready"
    assert clock(events).fields["clock"] == "ntp"
    assert clock(events).fields["now"].startswith(f"{now:%Y-%m-%d}")


def test_a_time_server_that_is_before_the_provisioning_is_not_believed(
    made: Project, board: Board
) -> None:
    with time_server(datetime(2001, 1, 1, tzinfo=UTC)) as server:
        events = board.climb(desk.flash_of(made, ntp=[server]))
    assert judge(events).verdict == "ready"
    assert clock(events).fields["clock"] == "floor"


def test_a_time_server_that_does_not_answer_is_a_warning(made: Project, board: Board) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        events = board.climb(desk.flash_of(made, ntp=[server]))
    assert judge(events).verdict == "ready"
    [warning] = [event for event in events if event.state == "warn"]
    assert (warning.stage, warning.fields["cause"]) == ("clock", "ntp_unreachable")
    assert server in warning.why
    assert clock(events).fields["clock"] == "floor"


def test_a_clock_that_nobody_set(made: Project, board: Board) -> None:
    verdict: Verdict = judge(board.climb(desk.flash_of(made, floor=0)))
    assert verdict.verdict == "clock/not_set"
    assert "2000-01-01" in verdict.why


def test_fleet_toml_takes_a_time_server_with_its_port(tmp_path: Path) -> None:
    servers = ["time.example", "192.0.2.1:1123"]
    assert desk.make_project(tmp_path / "fleet", ntp=servers).ntp == tuple(servers)
