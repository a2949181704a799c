from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.boards.row import Row
from firmshake.fleet import ending, message, progress
from firmshake.fleet.message import Nonsense
from firmshake.fleet.plugs import LOOKS_GONE, Plugs
from firmshake.fleet.row import BoardRow
from firmshake.fleet.settings import remedied
from firmshake.fleet.tally import waiting
from firmshake.registry import SlotRecord
from firmshake.ways.way import Seen

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def row(port: str, location: str = "", busy_by: str = "") -> Row:
    return Row("adapter", ports=(port,), location=location, busy_by=busy_by)


def test_a_board_that_is_reset_while_it_is_worked_on_is_not_gone() -> None:
    plugs = Plugs()
    there, gone = plugs.look([row("/dev/ttyACM0", "1-2")])
    assert [plug.target for plug in there] == ["/dev/ttyACM0"]
    for _ in range(LOOKS_GONE - 1):
        there, gone = plugs.look([], {"1-2"})
        assert there
        assert gone == []
    # it has come back under another name, at the same place
    there, gone = plugs.look([row("/dev/ttyACM1", "1-2")], {"1-2"})
    assert [(plug.key, plug.target) for plug in there] == [("1-2", "/dev/ttyACM1")]
    assert gone == []


def test_a_board_that_stays_away_is_gone_once() -> None:
    plugs = Plugs()
    plugs.look([row("/dev/ttyUSB0"), row("/dev/ttyUSB1")])
    # nobody works on it any more: another may be plugged in at the next moment
    assert plugs.look([row("/dev/ttyUSB1")])[1] == ["/dev/ttyUSB0"]
    assert plugs.look([row("/dev/ttyUSB1")])[1] == []


def test_a_board_at_the_place_of_another_is_told_by_its_birth() -> None:
    plugs = Plugs()
    looks = [plugs.look([row("/dev/ttyUSB0")], (), {"/dev/ttyUSB0": birth}) for birth in "112"]
    assert [there[0].birth for there, _ in looks] == ["1", "1", "2"]


def test_a_drive_is_taken_by_its_folder_and_one_that_is_not_mounted_waits() -> None:
    mounted = Row("uf2", drive="/media/RPI-RP2", location="1-1")
    there, _ = Plugs().look([mounted, Row("uf2", block_device="/dev/sdb1", location="1-3")])
    assert [(plug.target, plug.waits) for plug in there] == [
        ("/media/RPI-RP2", ""),
        ("/dev/sdb1", "its drive /dev/sdb1 is not mounted"),
    ]
    # nor is its port taken instead: its files are the computer's as long as it shows them
    port = Row("circuitpython", ports=("/dev/ttyACM0",), block_device="/dev/sdb1", location="1-3")
    (plug,), _ = Plugs().look([port])
    assert (plug.target, plug.waits) == ("/dev/ttyACM0", "its drive /dev/sdb1 is not mounted")


def test_a_drive_that_becomes_a_port_is_the_same_board_all_the_time() -> None:
    plugs = Plugs()
    looks = [[Row("uf2", drive="/media/RPI-RP2", location="1-1")], [], [row("/dev/ttyACM0", "1-1")]]
    seen = [plugs.look(rows, {"1-1"}) for rows in looks]
    assert [there[0].target for there, _ in seen] == ["/media/RPI-RP2"] * 2 + ["/dev/ttyACM0"]
    assert {there[0].key for there, _ in seen} == {"1-1"}
    # while it is away, nobody begins anything
    assert [bool(there[0].waits) for there, _ in seen] == [False, True, False]
    assert [gone for _, gone in seen] == [[], [], []]


@given(st.lists(st.lists(st.integers(0, 4), unique=True), max_size=30))
def test_a_board_is_there_if_and_only_if_it_was_seen_in_the_last_looks(
    looks: list[list[int]],
) -> None:
    plugs, known = Plugs(), set()
    busy = {f"/dev/ttyUSB{port}" for port in range(5)}
    for number, seen in enumerate(looks):
        there, gone = plugs.look([row(f"/dev/ttyUSB{port}") for port in seen], busy)
        known |= {plug.key for plug in there}
        recent = {
            port for look in looks[max(number + 1 - LOOKS_GONE, 0) : number + 1] for port in look
        }
        assert {plug.key for plug in there} == {f"/dev/ttyUSB{port}" for port in recent}
        assert set(gone) <= known


@given(st.binary(max_size=200))
def test_bytes_are_a_message_or_nonsense(data: bytes) -> None:
    try:
        found = message.decode(data)
    except Nonsense:
        return
    assert message.decode(message.encode(found)) == found


_TEXT = st.text(max_size=20) | st.sampled_from(["\ud800", "\x00", "x" * 2000])
_NUMBER = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 10**1000])
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
_FIELDS = {
    "words": {"text": _TEXT | _JSON},
    "reached": {"stage": st.sampled_from(["look", "proof"]) | _TEXT | _JSON},
    "writing": {"done": _NUMBER | _JSON, "total": _NUMBER | _JSON},
    "stage": {
        "stage": st.sampled_from(["wifi", "ready", "boot"]) | _TEXT | _JSON,
        "verdict": st.just("") | _TEXT | _JSON,
        "fix": st.just("") | _TEXT | _JSON,
    },
    "x": {},
}
_TOLD = st.sampled_from(sorted(_FIELDS)).flatmap(
    lambda tell: st.fixed_dictionaries({"tell": st.just(tell), **_FIELDS[tell]})
)


@given(_TOLD)
def test_what_a_worker_tells_makes_a_row_or_is_nonsense(said: dict[str, object]) -> None:
    try:
        after = progress.after(BoardRow("key", "port", "working"), said)
    except Nonsense:
        return
    assert 0 <= after.done <= 1
    for text in (after.words, after.stage, after.fix):
        assert text.isprintable()
        assert len(text) <= 2000


def test_numbers_beyond_all_measure_are_nonsense() -> None:
    row = BoardRow("key", "port", "working", "write")
    half = progress.after(row, {"tell": "writing", "done": 1 << 20, "total": 1 << 21})
    assert half.words == "writing, 50%"
    with pytest.raises(Nonsense):
        progress.after(row, {"tell": "writing", "done": 10**1000, "total": 1})


def test_a_stage_is_not_said_twice() -> None:
    row = BoardRow("key", "port", "working", "proof", words="waiting")
    said = {"tell": "stage", "stage": "wifi", "verdict": "", "fix": ""}
    assert progress.after(row, said).words == ""
    again = progress.after(row, {**said, "verdict": "wifi/timeout"})
    assert (again.stage, again.words) == ("wifi", "wifi/timeout; the board tries again")


def test_a_stage_begins_with_its_own_words() -> None:
    row = BoardRow("key", "port", "working", "claim", words="it runs MicroPython")
    assert progress.after(row, {"tell": "reached", "stage": "issue"}).words == ""


ERROR = {"text": "it says '$GPGGA'", "hint": "unplug it"}
SLOT = SlotRecord(1, 1, 2, "pump-{unique_id}", None, None, None, None, None, "open", NOW)


def test_what_is_no_board_gets_no_second_attempt_and_others_do() -> None:
    row = BoardRow("key", "port", "working")
    assert ending.error(row, {**ERROR, "refused": True}, is_there=True).state == "failed"
    assert ending.error(row, {**ERROR, "refused": False}, is_there=True).state == "waiting"


def test_what_an_operator_reads_of_a_board_that_was_pulled_is_no_programs_words() -> None:
    gone = ending.error(BoardRow("key", "port", "working"), ERROR, is_there=False)
    assert (gone.state, gone.words) == ("gone", "it was unplugged before it was done")


def test_whose_board_is_proved_is_told_to_take_it_out() -> None:
    said = {"verdict": "ready", "serial": "1", "fix": "", "why": ""}
    assert ending.outcome(said, is_proved=True).words.startswith("take it out")


def test_devices_that_wait_for_a_board_are_named_until_there_are_too_many() -> None:
    named = replace(SLOT, device_id="pump-1", wanted_unique_id="24:0a:c4:00:00:01")
    said = waiting(2, [SLOT, named])
    assert said.endswith(": pump-{unique_id}, pump-1 (24:0a:c4:00:00:01)")
    assert said.startswith("waiting for 2 more boards")
    assert waiting(9, [named] * 6).endswith(", and 4 more")
    # held by another station, perhaps
    assert waiting(3, []) == "waiting for 3 more boards to be plugged in (Ctrl-C ends it)"
    assert waiting(None, []).startswith("waiting for another board")


def test_a_fix_in_fleet_toml_says_what_the_manifest_has_of_a_device() -> None:
    fix = "Correct the Wi-Fi password in fleet.toml."
    own = {"wifi.ssid": "shed", "wifi.password": "a secret"}
    assert remedied(fix, own) == f"{fix} For this device the manifest has wifi.ssid, wifi.password."
    assert remedied(fix, {}) == fix
    assert remedied("Use another cable.", own) == "Use another cable."


@given(st.dictionaries(st.sampled_from(["seen", "key", "chain", "unique_id", "verdict"]), _JSON))
def test_what_a_worker_asks_with_is_read_or_nonsense(said: dict[str, object]) -> None:
    for read in (message.seen, message.key, message.chain, message.unique_id, message.verdict):
        try:
            read(said, read.__name__)  # type: ignore[operator]
        except Nonsense:
            continue


@given(st.text() | st.text(alphabet="ab", min_size=900, max_size=1100))
def test_whatever_a_board_says_travels_as_a_text(said: str) -> None:
    told = message.of_text(said)
    assert message.text({"text": told}, "text") == told
    if said.isprintable() and len(said) <= message.LONGEST_TEXT:
        assert told == said


def test_what_a_strange_board_is_travels_all_the_same() -> None:
    strange = Seen("a\nboard\ud800", "X" * 100, "123456", "1.0\x00")
    told = json.loads(message.encode({"seen": message.of_seen(strange)}))
    assert message.seen(told, "seen").unique_id is None


def test_what_was_seen_travels_whole() -> None:
    seen = Seen("ESP32", "ESP32", "24:0a:c4:00:00:01", None)
    assert message.seen(json.loads(message.encode({"seen": message.of_seen(seen)})), "seen") == seen


def test_progress_never_goes_back() -> None:
    said = [
        {"tell": "reached", "stage": "look"},
        {"tell": "words", "text": "found ESP32"},
        {"tell": "reached", "stage": "issue"},
        {"tell": "reached", "stage": "write"},
        {"tell": "writing", "done": 1, "total": 2},
        {"tell": "reached", "stage": "proof"},
        {"tell": "stage", "stage": "identity", "verdict": "", "fix": ""},
        {"tell": "stage", "stage": "tls", "verdict": "", "fix": ""},
        {"tell": "stage", "stage": "identity", "verdict": "", "fix": ""},
        {"tell": "stage", "stage": "ready", "verdict": "", "fix": ""},
    ]
    now, done = BoardRow("key", "port", "working"), [0.0]
    for one in said:
        now = progress.after(now, one)
        done.append(now.done)
    assert done == sorted(done)
    assert done[-1] == pytest.approx(1)


def test_a_process_ends_when_the_one_that_holds_its_line_does() -> None:
    program = (
        "import sys, time\n"
        "from firmshake import lifeline\n"
        "lifeline.hang_on(int(sys.argv[1]))\n"
        "print('on', flush=True)\n"
        "time.sleep(100)\n"
    )
    theirs, ours = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", program, str(theirs)], pass_fds=[theirs], stdout=subprocess.PIPE
    ) as process:
        os.close(theirs)
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        assert process.poll() is None
        os.close(ours)
        assert process.wait(60) != 0
