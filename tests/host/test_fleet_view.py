"""How a run is shown: on any terminal, in a log, for programs, whatever boards say."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from support import desk, madeuprun

from firmshake.cli.fleetview import ending, header, layout, words
from firmshake.cli.fleetview.bell import Bell
from firmshake.cli.fleetview.digits import large
from firmshake.cli.fleetview.jsonlines import JsonView
from firmshake.cli.fleetview.plain import PlainView
from firmshake.cli.fleetview.styles import STYLES, Row
from firmshake.event import STAGES as AGENT_STAGES
from firmshake.fleet.row import FOUND, BoardRow, Totals
from firmshake.fleet.view import View
from firmshake.registry import Claim, Refusal, Registry
from firmshake.ways.way import STAGES

HOSTILE = "\x1b]0;title\x07\x9b2J\n\u202e\udc80"
FAILED = BoardRow(
    "k1",
    "/dev/ttyUSB1",
    "failed",
    "tls",
    words="The broker's certificate expired.",
    device_id="lab-2",
    verdict="tls.server_certificate/expired",
    fix="Renew it.",
    began_s=10.0,
    ended_s=22.5,
)
WORKING = BoardRow("k2", "/dev/ttyUSB2", "working", "write", 0.5, device_id="lab-3", began_s=10.0)
PROVED = BoardRow("k3", "/dev/ttyUSB3", "proved", "ready", 1.0, "ready", device_id="lab-4")
TOTALS = Totals(wanted=16, proved=12, failed=1, working=3, here=12, per_minute=4, elapsed_s=185)

states = st.sampled_from(list(words.STATES))
anything = st.one_of(st.text(max_size=90), st.just(HOSTILE), st.text("ab-1", max_size=20))
a_row = st.builds(
    BoardRow,
    key=st.uuids().map(str),
    port=anything,
    state=states,
    stage=anything,
    done=st.floats(allow_nan=False),
    words=anything,
    unique_id=anything,
    device_id=anything,
    verdict=anything,
    fix=anything,
    began_s=st.floats(0, 1e6),
)
some_totals = st.builds(
    Totals,
    wanted=st.none() | st.integers(0, 10**7),
    proved=st.integers(0, 10**7),
    failed=st.integers(0, 10**7),
    working=st.integers(0, 1000),
    here=st.integers(0, 10**7),
    per_minute=st.floats(0, 1e5),
    elapsed_s=st.floats(0, 1e8),
)


def text(row: Row) -> str:
    return "".join(piece for piece, _ in row)


def texts(rows: list[BoardRow], width: int, height: int, now: float = 20.0) -> list[str]:
    return [text(line) for line in layout.lines(rows, now, width, height)]


@given(st.lists(a_row, max_size=40), st.integers(1, 250), st.integers(0, 60), st.booleans())
def test_boards_never_leave_the_screen_and_never_steer_the_terminal(
    rows: list[BoardRow], width: int, height: int, ascii_only: bool
) -> None:
    lines = layout.lines(rows, 5.0, width, height, ascii_only)
    assert len(lines) <= height
    for line in lines:
        assert text(line).isprintable()
        # state and port keep their widths: a screen narrower than those is cut by nobody
        assert cell_len(text(line)) <= max(width, 34)


@given(some_totals, anything.filter(str.isprintable), st.integers(1, 250), st.integers(1, 60))
def test_the_top_fits_the_screen(totals: Totals, note: str, width: int, height: int) -> None:
    for line in header.lines(totals, note, width, height, ascii_only=False):
        assert cell_len(text(line)) <= width


@given(st.text(max_size=30), st.integers(0, 40))
def test_text_is_fitted_to_the_column(said: str, width: int) -> None:
    assert cell_len(words.fit(said, width)) == width


def test_each_state_has_a_word_and_a_style_and_each_stage_plain_words() -> None:
    assert set(words.STATES) <= set(STYLES)
    assert set(layout._URGENCY) == set(words.STATES)
    assert {FOUND, *STAGES, *AGENT_STAGES} - {"boot"} <= set(words.STAGES)


def test_large_digits_are_readable() -> None:
    assert large("1/7", 1, "#") == [
        " #    # ###",
        "##    #   #",
        " #   #    #",
        " #  #    # ",
        "### #    # ",
    ]


def test_the_top_says_totals_rate_time_and_what_is_left() -> None:
    shown = "\n".join(text(line) for line in header.lines(TOTALS, "plug in more", 80, 24, False))
    for said in ("4.0 a minute", "3:05 so far", "about 1 min left", "3 working", "plug in more"):
        assert said in shown
    small = [text(line).rstrip() for line in header.lines(TOTALS, "", 100, 10, False)]
    assert small[0].startswith("12 of 16 proved, 1 failed, 4.0 a minute, 3:05 so far")
    assert len(small) == 2


@pytest.mark.parametrize(
    ("wanted", "proved", "rate", "said"),
    [
        (None, 5, 9.0, ""),
        (10, 5, 0.0, ""),
        (10, 10, 9.0, ""),
        (10, 9, 9.0, "under a minute left"),
        (100, 9, 9.0, "about 11 min left"),
        (100_000, 0, 10.0, "about 167 hours left"),
    ],
)
def test_what_is_left_is_told_where_it_can_be(
    wanted: int | None, proved: int, rate: float, said: str
) -> None:
    assert words.left(Totals(wanted, proved, 0, working=1, per_minute=rate)) == said
    assert not words.left(Totals(wanted, proved, 0, working=0, per_minute=rate))


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("/dev/ttyUSB0", "ttyUSB0"),
        ("/dev/cu.usbserial-01", "usbserial-01"),
        ("rfc2217://127.0.0.1:4001?logging=debug", ":4001"),
        ("socket://[::1]:4001", ":4001"),
        ("rfc2217://bench.lab:4001", "bench.lab:4001"),
        ("/media/me/CIRCUITPY", "CIRCUITPY"),
        ("/", "/"),
        ("/dev/tty\x1b[2J", "tty\\x1b[2J"),
    ],
)
def test_ports_are_short(name: str, short: str) -> None:
    assert words.port(name) == short


def test_a_boards_line_says_it_all() -> None:
    failed, fix, working, proved = texts([FAILED, WORKING, PROVED], 90, 20)
    assert failed.split("  ")[0] == " FAILED"
    assert "ttyUSB1 lab-2    0:12 The broker's certificate expired." in failed
    assert fix.strip() == "fix: Renew it."
    assert "0:10 █████░░░░░ writing" in working
    assert "██████████ ready" in proved


def test_that_no_device_is_left_fits_into_a_line_of_80_columns(tmp_path: Path) -> None:
    registry = Registry.open(desk.make_project(tmp_path / "fleet").registry_path)
    run = registry.open_run("bench", "gh-{unique_id}", 1)
    boards = ("a0b1c2d3e4f5", "a0b1c2d3e4f6")
    first, refusal = (
        registry.claim(run.id, unique_id=one, boards=(), station="b", session="s", lease_s=60)
        for one in boards
    )
    assert isinstance(first, Claim)
    assert isinstance(refusal, Refusal)
    row = BoardRow("k", "ttyUSB3", "refused", words=refusal.words, unique_id="a0:b1:c2:d3:e4:f6")
    assert not layout.is_cut(row, layout.columns(79, [row]))
    assert layout.is_cut(replace(row, words=row.words * 2), layout.columns(79, [row]))


def test_why_a_board_is_not_wanted_is_told_in_full_where_it_is_cut_off() -> None:
    why = "lab-7 is the board a0:b1:c2:d3:e4:f5 already: plug that one in"
    refused = BoardRow("k", "ttyUSB3", "refused", words=why, unique_id="a0:b1:c2:d3:e4:f6")
    assert why in "\n".join(texts([refused], 80, 3))
    assert "not wanted\n  why     lab-7 is" in ended([refused])
    short = replace(refused, words="there are enough")
    assert len(texts([short], 80, 3)) == 1
    assert "not wanted" not in ended([short])


def ended(rows: list[BoardRow]) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=80)
    ending.show(console, rows, [], TOTALS, 30.0)
    return stream.getvalue()


def test_which_attempt_it_is_is_told_from_the_second_on() -> None:
    again = BoardRow("k", "p", "working", "tls", words="slow", attempt=3)
    assert words.outcome(again) == "TLS handshake: slow (attempt 3)"


@pytest.mark.parametrize(
    ("stage", "said", "shown"),
    [
        ("write", "", "writing"),
        ("write", "writing, 40%", "writing, 40%"),
        ("wifi", "its agent: wifi", "joining Wi-Fi"),
        ("wifi", "wifi/timeout; again", "joining Wi-Fi: wifi/timeout; again"),
        ("look", "looking at the board on p", "asking what it is"),
        ("look", "a note on", "asking what it is: a note on"),
        ("look", "please press RESET", "please press RESET"),
        ("new", "", "new"),
    ],
)
def test_nothing_is_said_twice(stage: str, said: str, shown: str) -> None:
    assert words.stage(BoardRow("k", "p", "working", stage, words=said)) == shown


def test_boards_stay_in_their_places_while_all_have_room() -> None:
    shown = texts([PROVED, WORKING, FAILED], 90, 3)
    assert [line.split()[0] for line in shown] == ["PROVED", "WORKING", "FAILED"]


def test_what_needs_a_hand_comes_first_where_not_all_have_room() -> None:
    rows = [PROVED] * 5 + [WORKING] * 2 + [FAILED]
    shown = texts(rows, 60, 5)
    assert [line.split()[0] for line in shown] == ["FAILED", "WORKING", "WORKING", "PROVED", "and"]
    assert shown[-1].strip() == "and 4 more: 4 PROVED"
    gone = replace(WORKING, state="gone")
    shown = texts([WORKING] * 5 + [gone], 60, 4)
    assert [line.split()[0] for line in shown] == ["UNPLUGGED", "WORKING", "WORKING", "and"]


def test_a_wide_screen_has_several_columns() -> None:
    shown = texts([WORKING] * 20, 170, 10)
    assert [line.count("WORKING") for line in shown] == [2] * 10


def test_all_of_64_boards_are_on_a_large_screen() -> None:
    rows = list(madeuprun.rows(64, 10))[-64:]
    shown = "".join(texts(rows, 199, 43))
    assert all(f":{4000 + number} " in shown for number in range(64))


class Clock:
    def __call__(self) -> datetime:
        return datetime(2026, 5, 1, 12, 0, 1, tzinfo=UTC)


def plainly(rows: list[BoardRow], bell: Bell | None = None) -> list[str]:
    stream = io.StringIO()
    view = PlainView(stream, bell or Bell(None), Clock())
    for row in rows:
        view.board(row)
    return stream.getvalue().splitlines()


def test_a_log_has_a_line_for_what_matters_only() -> None:
    moved = [WORKING, BoardRow(**{**vars(WORKING), "done": 0.6, "words": "60 %"}), FAILED, PROVED]
    assert plainly([*moved, FAILED]) == [
        "2026-05-01T12:00:01+00:00 WORKING    ttyUSB2 lab-3 writing",
        "2026-05-01T12:00:01+00:00 FAILED     ttyUSB1 lab-2 tls.server_certificate/expired:"
        " The broker's certificate expired. fix: Renew it.",
        "2026-05-01T12:00:01+00:00 PROVED     ttyUSB3 lab-4 ready",
    ]


def test_a_log_says_what_is_tried_and_what_people_are_asked_for() -> None:
    look = BoardRow("k", "p", "working", "look", words="asking the board on p")
    asked = replace(look, words="please press RESET")
    started = replace(look, stage="proof", words="please press RESET now")
    rows = [look, replace(look, words="looking for more"), asked, started]
    assert [line.split(" - ", 1)[1] for line in plainly(rows)] == [
        "asking what it is",
        "asking what it is: looking for more",
        "please press RESET",
        "please press RESET now",
    ]


@given(a_row)
def test_a_log_has_no_control_characters(row: BoardRow) -> None:
    (line,) = plainly([row])
    assert line.isprintable()


def test_a_log_has_the_totals_each_minute_and_at_the_end() -> None:
    stream = io.StringIO()
    view = PlainView(stream, Bell(None), Clock())
    for second in (1, 30, 61, 90):
        view.totals(Totals(16, 1, 0, 2, 1, 1.0, second))
    view.end()
    said = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert said == [
        "1 of 16 proved, 0 failed, 1.0 a minute, 1:01 so far, 2 working",
        "1 of 16 devices proved, 0 boards failed, 1.0 a minute, after 1:30",
    ]


def test_the_bell_rings_once_a_failure_and_not_in_the_log() -> None:
    terminal = io.StringIO()
    lines = plainly([WORKING, FAILED, FAILED, PROVED], Bell(terminal))
    assert terminal.getvalue() == "\a"
    assert "\a" not in "".join(lines)
    plainly([FAILED, BoardRow(**{**vars(FAILED), "state": "working"}), FAILED], Bell(terminal))
    assert terminal.getvalue() == "\a\a\a"


def objects(told: list[BoardRow | Totals | str]) -> list[dict[str, object]]:
    stream = io.StringIO()
    view = JsonView(stream, Bell(None), Clock(), lambda: 12.25)
    tell(view, told)
    view.end()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def tell(view: View, told: list[BoardRow | Totals | str]) -> None:
    for item in told:
        if isinstance(item, BoardRow):
            view.board(item)
        elif isinstance(item, Totals):
            view.totals(item)
        else:
            view.note(item)


def test_for_programs_there_is_an_object_a_change() -> None:
    board, note, totals, last = objects([WORKING, "more", TOTALS])
    assert board == {
        "event": "board",
        "at": "2026-05-01T12:00:01.000+00:00",
        "key": "k2",
        "port": "/dev/ttyUSB2",
        "state": "working",
        "stage": "write",
        "done": 0.5,
        "words": "",
        "unique_id": "",
        "device_id": "lab-3",
        "chip": "",
        "serial_number": "",
        "verdict": "",
        "fix": "",
        "attempt": 1,
        "took_s": 2.25,
    }
    assert (note["event"], note["text"]) == ("note", "more")
    assert (totals["wanted"], totals["per_minute"]) == (16, 4.0)
    assert totals == last


def test_programs_are_not_told_of_small_steps() -> None:
    steps = [BoardRow(**{**vars(WORKING), "done": number / 1000}) for number in range(500)]
    assert len(objects([*steps])) == 10
    later = [Totals(16, 1, 0, 2, 1, number / 7, number) for number in range(100)]
    assert len(objects([*later])) == 2  # the first, and at the end


@given(a_row)
def test_what_programs_get_is_lines_of_ascii(row: BoardRow) -> None:
    stream = io.StringIO()
    JsonView(stream, Bell(None)).board(row)
    line = stream.getvalue()
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["words"] == row.words


def test_what_stays_has_every_failure_with_why_and_fix() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=70)
    again = BoardRow(**{**vars(FAILED), "key": "k9", "device_id": "lab-9"})
    other = BoardRow(**{**vars(FAILED), "key": "k8", "verdict": "tcp/refused", "fix": ""})
    ending.show(console, [PROVED, FAILED], [FAILED, other, again], TOTALS, 30.0)
    lines = stream.getvalue().splitlines()
    assert lines[3:] == [
        "failed tls.server_certificate/expired",
        "  why     The broker's certificate expired.",
        "  fix     Renew it.",
        "  boards  ttyUSB1 lab-2, ttyUSB1 lab-9",
        "failed tcp/refused",
        "  why     The broker's certificate expired.",
        "  boards  ttyUSB1 lab-2",
        "12 of 16 devices proved, 1 board failed, 4.0 a minute, after 3:05",
    ]
