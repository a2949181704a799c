"""The flight recorder: what it keeps, when it writes, what it publishes, and that it never breaks.

On CPython, its file in a folder. tests/peers has it on MicroPython, on real filesystems.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmshake import recorder as recording
from firmshake_agent import recorder as module
from firmshake_agent.failure import Failure
from firmshake_agent.line import parse_line
from firmshake_agent.recorder import KEPT, MESSAGE, MOST_WRITES, SIZE, SLOT, Recorder

# what hypothesis would have against these tests: the file is begun anew by each example
UNFIT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
NOW = 1795132800
HOUR_MS = 3600000
GOOD_CLOCK = SimpleNamespace(doubtful=False)
POOR_CLOCK = SimpleNamespace(doubtful=True)


class Board:
    """The little of a runtime that the recorder needs; time passes when a test says so."""

    name = "a test"

    def __init__(self, chance: int = 255) -> None:
        self.ms = 0
        self.chance = chance  # what random() says: 255 never counts a restart

    def ticks(self) -> int:
        return self.ms

    def since(self, ticks: int) -> int:
        return self.ms - ticks

    def now(self) -> int:
        return NOW + self.ms // 1000

    def random(self) -> int:
        return self.chance

    def rssi(self) -> int:
        return -61

    def heap(self) -> dict[str, object]:
        return {"free": 50000, "used": 10000}


class Session:
    """A session whose broker acknowledges `good` messages and no more."""

    def __init__(self, good: int = 1000, ends: bool = False) -> None:
        self.told: list[dict[str, Any]] = []
        self._good = good
        self._ends = ends

    def tell(self, name: str, message: bytes) -> bool:
        assert name == "diag"
        assert len(message) <= MESSAGE
        if self._ends:
            raise Failure("ready", "closed", {})
        self.told.append(json.loads(message))
        return len(self.told) <= self._good

    @property
    def records(self) -> list[dict[str, Any]]:
        return [record for message in self.told for record in message["records"]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recorder"


def made(path: Path, board: Board | None = None) -> Recorder:
    return Recorder(board or Board(), str(path))


def fail(recorder: Recorder, cause: str, stage: str = "tcp", **evidence: object) -> None:
    recorder.fail(Failure(stage, cause, evidence), POOR_CLOCK)


def reached(
    recorder: Recorder, session: Session, clock: object = POOR_CLOCK, device: str = "esp32-1"
) -> Session:
    climb = SimpleNamespace(session=session, clock=clock, identity=SimpleNamespace(device=device))
    recorder.reached(climb, 1234)
    return session


def lines(path: Path) -> list[tuple[int, str, dict[str, str]]]:
    """Number, stage and fields of the records in the file."""
    data = path.read_bytes()
    assert len(data) == SIZE
    found = [parse_line(data[at : at + SLOT].decode()) for at in range(SLOT, SIZE, SLOT)]
    return [(line[0], line[2], dict(line[4])) for line in found if line]


def writes(path: Path) -> int:
    head = parse_line(path.read_bytes()[:SLOT].decode())
    assert head
    return int(dict(head[4])["writes"])


# what is kept


def test_a_failure_is_in_the_file_at_once(path: Path) -> None:
    recorder = made(path)
    recorder.fail(Failure("tls", "expired", {"subject": "x y"}, "server_certificate"), GOOD_CLOCK)
    assert lines(path) == [
        (
            1,
            "tls",
            {
                "step": "server_certificate",
                "cause": "expired",
                "n": "1",
                "boot": "1",
                "at": str(NOW),
                "subject": "x y",
            },
        )
    ]


def test_without_a_confirmed_clock_a_record_has_no_time(path: Path) -> None:
    fail(made(path), "refused")
    ((_, _, fields),) = lines(path)
    assert "at" not in fields


def test_each_verdict_has_one_record_and_the_oldest_goes(path: Path) -> None:
    board = Board()
    recorder = made(path, board)
    for number in range(KEPT + 2):
        fail(recorder, f"cause_{number}")
        fail(recorder, "refused")
        board.ms += 6 * HOUR_MS
    assert len(lines(path)) == KEPT
    causes = {fields["cause"] for _, _, fields in lines(path)}
    assert causes == {"refused", *(f"cause_{number}" for number in range(3, KEPT + 2))}


def test_the_next_boot_goes_on_with_the_counts(path: Path) -> None:
    fail(made(path), "refused")
    second = made(path, Board(chance=0))
    fail(second, "refused")
    fail(second, "timeout")
    found = {fields["cause"]: (fields["n"], fields["boot"]) for _, _, fields in lines(path)}
    assert found == {"refused": ("2", "2"), "timeout": ("1", "2")}


def test_evidence_that_is_long_does_not_push_out_the_verdict(path: Path) -> None:
    evidence = dict.fromkeys(("host", "subject", "wanted", "issuer"), "%" * 500)
    recorder = made(path)
    recorder.fail(Failure("tls", "hostname_mismatch", evidence, "server_certificate"), None)
    ((_, stage, fields),) = lines(path)
    assert (stage, fields["cause"], fields["n"]) == ("tls", "hostname_mismatch", "1")
    assert fields["cut"] == "1"


def test_only_evidence_that_is_listed_is_kept(path: Path) -> None:
    fail(made(path), "refused", host="h", password="hidden word", key="hidden key")
    assert b"hidden" not in path.read_bytes()
    assert b"host=h" in path.read_bytes()


# when it is written


def test_a_failure_that_comes_again_is_written_when_its_count_has_doubled(path: Path) -> None:
    board = Board()
    recorder = made(path, board)
    written = []
    for count in range(1, 101):
        before = path.read_bytes() if path.exists() else b""
        fail(recorder, "refused")
        board.ms += 6 * HOUR_MS
        if path.read_bytes() != before:
            written.append(count)
    assert written == [1, 2, 4, 8, 16, 32, 64]


def test_writes_come_further_and_further_apart(path: Path) -> None:
    """A new verdict each minute for a month: the worst that a board can meet without restarts."""
    board = Board()
    recorder = made(path, board)
    times = []
    for minute in range(30 * 24 * 60):
        before = path.read_bytes() if path.exists() else b""
        fail(recorder, f"cause_{minute}")
        if path.read_bytes() != before:
            times.append(minute)
        board.ms += 60000
    assert times[:6] == [0, 1, 11, 31, 71, 151]
    assert {b - a for a, b in itertools.pairwise(times[8:])} == {320}
    assert writes(path) == len(times) < 145


def test_what_waits_for_its_time_is_written_then(path: Path) -> None:
    board = Board()
    recorder = made(path, board)
    for number in range(5):
        fail(recorder, f"cause_{number}")
    assert len(lines(path)) == 2
    board.ms += HOUR_MS
    fail(recorder, "refused")
    assert len(lines(path)) == 6


def test_a_board_that_restarts_for_ever_writes_more_and_more_rarely(path: Path) -> None:
    """Each boot may count itself with a chance of one in the count: about the root of twice it."""
    state = 1
    for _ in range(3000):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        fail(made(path, Board(chance=state >> 16 & 255)), "refused")
    ((_, _, fields),) = lines(path)
    assert 10 < int(fields["n"]) <= writes(path) < 400


def test_there_is_a_last_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WRITES", 3)
    for number in range(6):
        fail(made(path), f"cause_{number}")
    assert writes(path) == 3
    assert len(lines(path)) == 3
    assert MOST_WRITES <= 30000, "what docs/serial-protocol.md reckons with"


# a file that is damaged, and one that cannot be written


@settings(max_examples=300, suppress_health_check=UNFIT)
@given(data=st.data())
def test_whatever_the_file_holds_the_next_failure_is_recorded(path: Path, data: Any) -> None:
    path.unlink(missing_ok=True)
    recorder = made(path)
    fail(recorder, "refused", host="h")
    fail(recorder, "timeout")
    good = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        for at, byte in data.draw(
            st.lists(st.tuples(st.integers(0, 3 * SLOT), st.integers(0, 255)), max_size=20)
        ):
            good[at] = byte
        good = good[: data.draw(st.integers(0, SIZE))] if data.draw(st.booleans()) else good
    else:
        good = bytearray(data.draw(st.binary(max_size=2 * SIZE)))
    path.write_bytes(good)
    again = made(path)
    fail(again, "unreachable")
    session = reached(again, Session())
    assert "tcp/unreachable" in [record["verdict"] for record in session.records]
    assert "unreachable" in [
        parsed[4][0][1]
        for at in range(SLOT, SIZE, SLOT)
        if (parsed := parse_line(path.read_bytes()[at : at + SLOT].decode("utf-8", "replace")))
    ]


def test_what_cannot_be_written_is_kept_in_memory_and_published(tmp_path: Path) -> None:
    recorder = made(tmp_path / "no folder" / "recorder")
    for _ in range(5):
        fail(recorder, "refused", host="h")
    session = reached(recorder, Session())
    ((verdict, count, evidence),) = [
        (record["verdict"], record["n"], record["ev"]) for record in session.records
    ]
    assert (verdict, count, evidence) == ("tcp/refused", 5, {"host": "h"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_deleted_costs_its_records_alone(path: Path) -> None:
    recorder = made(path)
    fail(recorder, "refused")
    path.unlink()
    fail(recorder, "timeout")
    assert [record["verdict"] for record in reached(recorder, Session()).records] == ["tcp/timeout"]


def test_a_write_that_fails_is_not_tried_at_each_failure(path: Path) -> None:
    path.mkdir()  # nobody can write a file there
    board = Board()
    tries = []

    class Counted(Recorder):
        def _write(self, writes: int) -> None:
            tries.append(board.ms)
            super()._write(writes)

    recorder = Counted(board, str(path))
    for _ in range(60):
        fail(recorder, "refused")
        board.ms += 60000
    assert [ms // 60000 for ms in tries] == [0, 1, 11, 31]


# what docs/serial-protocol.md says of it


def test_the_document_has_the_numbers_and_a_message_as_they_are(path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "serial-protocol.md").read_text("utf-8")
    section = text.split("## The flight recorder\n")[1].split("\n## ")[0]
    assert f"{SIZE} bytes: nine slots of {SLOT}" in section
    assert (KEPT, f"{MOST_WRITES:,} writes" in section) == (8, True)
    (example,) = re.findall(r"```json\n(.*)\n```", section)
    assert len(example) <= MESSAGE
    assert f"at most {MESSAGE} bytes" in section
    recorder = made(path)
    fail(recorder, "refused", host="h")
    (message,) = reached(recorder, Session()).told
    shown = json.loads(example)
    assert shown.keys() == message.keys()
    assert shown["ready"].keys() == message["ready"].keys()
    assert shown["records"][0].keys() == message["records"][0].keys()
    # the same record as the file's, read by the host
    block = section.split("```\n")[1].encode()
    (record,) = recording.parse(block).records
    (told,) = shown["records"]
    assert (record.seq, record.boot, record.count) == (told["seq"], told["boot"], told["n"])
    assert (record.verdict, record.event.evidence) == (told["verdict"], told["ev"])
    assert record.at is not None
    assert record.at.timestamp() == told["at"]
    assert not record.sent


# what is published


def test_a_message_has_what_the_broker_has_not_and_that_the_board_is_ready(path: Path) -> None:
    recorder = made(path)
    fail(recorder, "refused", host="h", port=8883)
    (message,) = reached(recorder, Session(), GOOD_CLOCK).told
    assert message == {
        "v": 1,
        "device": "esp32-1",
        "records": [
            {
                "seq": 1,
                "boot": 1,
                "at": NOW,
                "n": 1,
                "verdict": "tcp/refused",
                "stage": "tcp",
                "ev": {"host": "h", "port": "8883"},
            }
        ],
        "ready": {
            "agent": "0.1.0",
            "runtime": "a test",
            "climb_ms": 1234,
            "rssi": -61,
            "free": 50000,
            "largest": None,
        },
    }
    (again,) = reached(recorder, Session()).told
    assert again["records"] == []


def test_what_failed_before_the_clock_was_set_gets_its_time_from_it(path: Path) -> None:
    board = Board()
    recorder = made(path, board)
    board.ms = 10000
    fail(recorder, "ap_not_found", "wifi")
    board.ms = 100000
    ((record),) = reached(recorder, Session(), GOOD_CLOCK).records
    assert record["at"] == NOW + 10
    fail(recorder := made(path), "refused")
    session = reached(recorder, Session())
    assert [record["at"] for record in session.records] == [None]


def test_a_boot_does_not_lend_its_clock_to_another(path: Path) -> None:
    fail(made(path), "refused")
    (record,) = reached(made(path), Session(), GOOD_CLOCK).records
    assert record["at"] is None


def test_more_than_fits_goes_in_several_messages_the_oldest_first(path: Path) -> None:
    recorder = made(path)
    for number in range(KEPT):
        fail(recorder, f"cause_{number}", host="h" * 60, presented='"' * 60, error="é" * 60)
    session = reached(recorder, Session())
    assert len(session.told) > 1
    assert [record["seq"] for record in session.records] == list(range(1, KEPT + 1))
    assert ["ready" in message for message in session.told] == [True] + [False] * (
        len(session.told) - 1
    )


def test_only_what_was_acknowledged_counts_as_sent(path: Path) -> None:
    recorder = made(path)
    for number in range(KEPT):
        fail(recorder, f"cause_{number}", host="h" * 60, wanted="w" * 60)
    first = reached(recorder, Session(good=1))
    assert len(first.told) == 2
    reached(recorder, Session())  # one session is left out
    second = reached(recorder, Session())
    assert second.records[0]["seq"] == first.told[1]["records"][0]["seq"]
    assert second.records[-1]["seq"] == KEPT


def test_what_was_sent_is_not_sent_again_after_a_restart(path: Path) -> None:
    recorder = made(path)
    fail(recorder, "refused")
    assert reached(recorder, Session()).records
    assert reached(made(path), Session()).records == []


def test_what_came_again_is_sent_again_with_its_count(path: Path) -> None:
    recorder = made(path)
    for _ in range(3):
        fail(recorder, "refused")
    assert [record["n"] for record in reached(recorder, Session()).records] == [3]
    fail(recorder, "refused")
    (record,) = reached(recorder, Session()).records
    assert (record["n"], record["seq"]) == (4, 4)


def test_where_a_broker_ends_the_session_the_next_go_without(path: Path) -> None:
    """The first is lost, the second holds, and the third tries again; then three hold."""
    recorder = made(path)
    tried = []
    for number in range(16):
        try:
            told = reached(recorder, Session(ends=True)).told
            assert told == []
        except Failure:
            tried.append(number)
    assert tried == [0, 2, 6, 14]
    for _ in range(14):
        assert reached(recorder, Session()).told == []
    assert reached(recorder, Session()).told
    assert reached(recorder, Session()).told, "all is forgiven"


def test_nothing_that_goes_wrong_in_it_is_the_sessions_fault(path: Path) -> None:
    class Poor(Board):
        def heap(self) -> dict[str, object]:
            raise MemoryError

    reached(made(path, Poor()), Session())


@given(
    values=st.lists(st.text(max_size=90), min_size=26, max_size=26),
    device=st.text("abcdefghijklmnopqrstuvwxyz-.", min_size=1, max_size=64),
)
@settings(max_examples=200, suppress_health_check=UNFIT)
def test_whatever_the_evidence_a_message_is_no_longer_than_it_may_be(
    path: Path, values: list[str], device: str
) -> None:
    path.unlink(missing_ok=True)
    recorder = made(path)
    evidence = dict(zip(module._EVIDENCE, values, strict=True))
    fail(recorder, "hostname_mismatch", **evidence)
    session = reached(recorder, Session(), device=device)  # measures each message
    assert [record["verdict"] for record in session.records] == ["tcp/hostname_mismatch"]
