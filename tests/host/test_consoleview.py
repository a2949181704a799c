"""What is printed of several boards: names, colours, filters, searches; no line lost or mixed."""

import colorsys
import io
import json
import re
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import EIGHT_BIT_PALETTE
from rich.console import Console

from firmshake.cli.consoleview import Look, View
from firmshake.cli.controls import Controls
from firmshake.cli.prefix import LONGEST, PALETTE, Prefixes
from firmshake.climbgate import Only
from firmshake.console import Back, Lost
from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.feed import Board, Item, NotReset, Opened, Refused, Said
from firmshake.merging import Dropped
from firmshake.reader import Reader

A, B = Board(1, "/dev/ttyUSB0"), Board(2, "/dev/ttyACM10")
OK = Event(3, 812, "dns", "ok", {"addr": "10.0.0.7", "took": "31"})
START = Event(4, 820, "identity", "start")
READY = Event(9, 5000, "ready", "ok", {"took": "3"})
EXPIRED = Event(
    8,
    4000,
    "tls",
    "fail",
    {
        "step": "server_certificate",
        "cause": "expired",
        "took": "612",
        "not_after": "2026-01-01T00:00:00Z",
        "now": "2026-11-20T06:14:09Z",
        "subject": "broker.lab.example",
    },
)


def say(board: Board, item: Item, device: str | None = None) -> Said:
    return Said(board, device, 0.0, item)


class Shown:
    """A view, and what it has printed."""

    def __init__(
        self,
        *only: str,
        search: str = "",
        colour: str | None = None,
        width: int = 80,
        numbered: bool = False,
        **look: bool,
    ) -> None:
        self._out, self._notes = io.StringIO(), io.StringIO()
        console, notes = (
            Console(
                file=file,
                force_terminal=colour is not None,
                color_system=colour or None,  # type: ignore[arg-type]
                no_color=not colour,
                highlight=False,
                width=width,
            )
            for file in (self._out, self._notes)
        )
        self.controls = Controls(Only(only), search)
        self.view = View(console, notes, Prefixes(numbered), self.controls, Look(**look))

    def show(self, *came: Said) -> str:
        """What is printed of this on standard output."""
        before = len(self._out.getvalue())
        self.view.show(came)
        return self._out.getvalue()[before:]

    @property
    def notes(self) -> str:
        return self._notes.getvalue()


def test_each_line_has_its_boards_name_before_it_and_the_columns_are_aligned() -> None:
    shown = Shown()
    assert shown.show(say(A, Output(b"hello\r\n")), say(B, OK), say(A, OK, "shed-1")) == (
        "ttyUSB0 | hello\n"
        "ttyACM10 | ✓ dns           31 ms  10.0.0.7\n"
        "shed-1   | ✓ dns           31 ms  10.0.0.7\n"
    )
    assert shown.show(say(A, Output(b"hello\r\n"), "shed-1")) == "shed-1   | hello\n"


def test_a_failure_is_one_block_each_line_of_it_with_the_name() -> None:
    said = Shown().show(say(A, EXPIRED, "shed-1"))
    assert said.splitlines()[0] == (
        "shed-1 | ✗ tls          612 ms  tls.server_certificate/expired"
    )
    assert all(line.startswith("shed-1 | ") for line in said.splitlines())
    words = " ".join(line.removeprefix("shed-1 |").strip() for line in said.splitlines())
    assert "why The broker's certificate for broker.lab.example expired" in " ".join(words.split())
    assert "fix Renew the broker's certificate" in " ".join(words.split())


def test_the_same_failure_is_explained_once_to_each_board() -> None:
    shown = Shown()
    shown.show(say(A, EXPIRED))
    assert shown.show(say(A, EXPIRED)).count("\n") == 1
    assert shown.show(say(B, EXPIRED)).count("\n") > 3


def test_stages_that_begin_are_not_shown() -> None:
    assert Shown().show(say(A, START)) == ""


def test_the_rest_of_a_half_line_is_a_line_and_its_mere_end_is_none() -> None:
    shown = Shown()
    came = [say(A, Output(data)) for data in (b">>> ", b"\r\n", b"\r\n", b">>> ", b"print()\r\n")]
    assert shown.show(*came) == ("ttyUSB0 | >>> \nttyUSB0 | \nttyUSB0 | >>> \nttyUSB0 | print()\n")


def test_what_becomes_of_a_port_is_said_with_the_boards_name() -> None:
    shown = Shown()
    refused = Refused(Error("there is no port /dev/ttyUSB0", hint="check the cable"))
    items: list[Item] = [refused, Opened(), NotReset(Error("cannot reset", hint="press RESET"))]
    assert shown.show(*[say(A, item) for item in items]) == ""
    shown.show(say(A, Lost("the board on /dev/ttyUSB0 went away"), "shed-1"), say(A, Back()))
    shown.show(say(A, Dropped(12)), say(A, Dropped(1), "shed-2"))
    assert shown.notes == (
        "ttyUSB0 | firmshake: there is no port /dev/ttyUSB0; waiting for it\n"
        "ttyUSB0 |   check the cable\n"
        "ttyUSB0 | firmshake: listening to /dev/ttyUSB0\n"
        "ttyUSB0 | firmshake: cannot reset\n"
        "ttyUSB0 |   press RESET\n"
        "shed-1  | firmshake: the board on /dev/ttyUSB0 went away; waiting for it to come back\n"
        "shed-1? | firmshake: /dev/ttyUSB0 is back\n"
        "shed-1? | firmshake: 12 lines were left out here\n"
        "shed-2  | firmshake: 1 line was left out here\n"
    )


def test_what_is_wrong_with_a_board_without_an_agent_is_said_once() -> None:
    shown = Shown("fail")
    for _ in range(3):
        shown.show(say(A, Output(b"invalid header: 0xffffffff\r\n")))
    assert shown.notes.count("ttyUSB0 | firmshake: the board has no firmware") == 1


def test_two_boards_that_say_they_are_one_device_are_told_apart() -> None:
    shown = Shown()
    said = shown.show(say(A, OK, "shed-1"), say(B, OK, "shed-1"), say(A, OK, "shed-1"))
    names = [line.partition("|")[0].strip() for line in said.splitlines()]
    assert names == ["shed-1", "shed-1@ttyACM10", "shed-1@ttyUSB0"]


def test_two_ports_of_one_short_name_are_told_apart() -> None:
    shown = Shown()
    one, other = Board(1, "/dev/a/tty"), Board(2, "/dev/b/tty")
    said = shown.show(*[say(board, OK) for board in (one, other, one)])
    names = [line.partition("|")[0].strip() for line in said.splitlines()]
    assert names == ["tty", "/dev/b/tty", "tty"]


def test_a_long_name_keeps_its_end_and_a_strange_one_is_written_out() -> None:
    shown = Shown()
    said = shown.show(say(A, OK, "x" * 40 + "-0017"), say(A, OK, "\x1b[31m"))
    names = [line.partition(" |")[0].strip() for line in said.splitlines()]
    assert names == ["~" + "x" * (LONGEST - 6) + "-0017", "\\x1b[31m"]


def test_the_time_at_which_it_came_stands_before_each_line_where_asked_for() -> None:
    shown = Shown(times=True)
    said = shown.show(say(A, EXPIRED), say(A, Output(b"hello\n")), say(A, Back())) + shown.notes
    assert "hello" in said
    assert "is back" in said
    assert all(re.match(r"\d\d:\d\d:\d\d ttyUSB0 \| ", line) for line in said.splitlines())


def test_a_note_on_a_narrow_terminal_is_wrapped_behind_the_name() -> None:
    shown = Shown(colour="", width=50)
    shown.show(say(A, Lost("the board on /dev/ttyUSB0 went away")))
    said = re.sub(r"\x1b\[[0-9;]*m", "", shown.notes).splitlines()
    assert len(said) > 1
    assert all(line.startswith("ttyUSB0 | ") and len(line) <= 50 for line in said)


def test_one_port_alone_needs_no_name() -> None:
    assert Shown(named=False, search="hel").show(say(A, Output(b"hello\n"))) == "hello\n"


def test_numbers_stand_before_the_names_where_keys_choose_by_them() -> None:
    assert Shown(numbered=True).show(say(B, Output(b"hello\n"))) == "2 ttyACM10 | hello\n"


def test_json_is_an_object_an_event_with_port_and_device_and_nothing_else() -> None:
    said = Shown(as_json=True).show(
        say(A, Output(b"noise\n")), say(A, START), say(B, EXPIRED, "shed-1")
    )
    start, failure = map(json.loads, said.splitlines())
    assert (start["port"], start["device"], start["stage"]) == ("/dev/ttyUSB0", None, "identity")
    assert (failure["port"], failure["device"]) == ("/dev/ttyACM10", "shed-1")
    assert failure["verdict"] == "tls.server_certificate/expired"
    assert failure["fix"].startswith("Renew")


# colours


def test_each_board_has_its_own_colour_and_no_colour_leaves_the_names() -> None:
    came = [say(A, Output(b"one\n")), say(B, Output(b"two\n")), say(A, Output(b"three\n"))]
    lines = Shown(colour="256").show(*came).splitlines()
    colours = [re.match(r"\x1b\[1;38;5;(\d+)m", line) for line in lines]
    assert [found and int(found[1]) for found in colours] == [PALETTE[0], PALETTE[1], PALETTE[0]]
    plain = Shown(colour="").show(*came)
    assert "38;5" not in plain
    assert "ttyUSB0" in plain


@pytest.mark.parametrize("number", PALETTE)
def test_a_colour_can_be_read_on_black_and_white_and_says_no_state(number: int) -> None:
    red, green, blue = (part / 255 for part in EIGHT_BIT_PALETTE[number])
    hue = colorsys.rgb_to_hsv(red, green, blue)[0] * 360
    assert 170 <= hue <= 325  # cyan to pink: not red, yellow or green
    # WCAG 2.2: relative luminance, and the contrast ratio that is asked of large or bold text
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (red, green, blue)
    ]
    luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    assert 1.05 / (luminance + 0.05) >= 3
    assert (luminance + 0.05) / 0.05 >= 3


def test_the_colours_differ() -> None:
    assert len(set(PALETTE)) == len(PALETTE) >= 8


def test_on_a_terminal_a_boards_colours_pass_and_end_with_its_line_and_nothing_else_passes() -> (
    None
):
    said = Shown(colour="256").show(
        say(A, Output(b"\x1b[32mgreen\x1b]0;title\x07\r\n")), say(A, Output(b"plain\r\n"))
    )
    assert "\x1b[32mgreen" in said
    assert "\\x1b]0;title\\x07" in said
    green, plain = said.splitlines()
    assert green.endswith("\x1b[0m")
    assert "32m" not in plain


# filters


def test_only_climbs_with_that_verdict_are_shown() -> None:
    shown = Shown("tls.*")
    assert shown.show(say(A, START), say(A, OK), say(B, START), say(B, OK), say(B, READY)) == ""
    said = shown.show(say(A, EXPIRED), say(A, Output(b"tail\n")), say(B, Output(b"words\n")))
    assert said.startswith("ttyUSB0 | ✓ dns")
    assert "tls.server_certificate/expired" in said
    assert said.endswith("ttyUSB0 | tail\n")
    assert "ttyACM10" not in said


def test_only_a_text_is_looked_for_in_output_and_in_all_of_an_explanation() -> None:
    shown = Shown(search="RELOAD the broker")
    block = shown.show(say(A, Output(b"noise\n")), say(A, OK), say(A, EXPIRED))
    assert block.startswith("ttyUSB0 | ✗ tls")
    assert "fix" in block
    # what would not be explained again is, where that is what was looked for
    assert shown.show(say(A, EXPIRED)) == block
    assert shown.show(say(A, Output(b"please reload the BROKER now\n"))).count("\n") == 1


def test_what_was_found_is_marked_on_a_terminal() -> None:
    said = Shown(search="ell", colour="256").show(say(A, Output(b"hello\n")))
    assert "h\x1b[7mell\x1b[0mo" in said


def test_keys_change_what_is_shown_from_then_on() -> None:
    shown = Shown()
    assert shown.show(say(A, OK), say(B, OK)).count("\n") == 2
    shown.controls.press("2", boards=2)
    assert shown.show(say(A, OK), say(B, OK)).count("\n") == 1
    shown.controls.press("0", boards=2)
    shown.controls.press("f", boards=2)
    assert shown.show(say(A, START), say(A, OK)) == ""
    assert shown.show(say(A, EXPIRED)).count("\n") > 4
    assert shown.show(say(A, START), say(A, OK)) == ""
    shown.controls.press("f", boards=2)
    assert shown.show().count("\n") == 1  # what was held back


# what holds for anything that boards say

# line ends and half ones, colours and half ones, what Unicode takes for line ends, no UTF-8
PIECES = [b"\n", b"\r", b"\r\n", b"\x1b[31m", b"\x1b[", b"1m", b"\x1b]0;", b"\x07", b"\t", b"\x0b"]
PIECES += [b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"words", b" | ", b"@fs1 "]
DATA = st.one_of(st.binary(max_size=20), st.lists(st.sampled_from(PIECES)).map(b"".join))
SPOKEN = st.lists(st.tuples(st.sampled_from([A, B, Board(3, "/dev/x")]), DATA), max_size=30)


@given(SPOKEN)
def test_no_line_is_lost_or_mixed_and_each_boards_order_is_kept(
    spoken: list[tuple[Board, bytes]],
) -> None:
    readers: dict[Board, Reader] = defaultdict(Reader)
    came = [say(board, item) for board, data in spoken for item in readers[board].feed(data)]
    said = Shown().show(*came)
    found: dict[str, list[str]] = defaultdict(list)
    for line in said.split("\n")[:-1]:
        name, bar, text = line.partition(" | ")
        assert bar
        found[name.strip()].append(text)
    names = {A: "ttyUSB0", B: "ttyACM10", Board(3, "/dev/x"): "x"}
    for board, name in names.items():
        outputs = [one.item for one in came if one.board == board]
        assert found[name] == [
            item.text.rstrip("\r\n") for item in outputs if isinstance(item, Output)
        ]


@given(SPOKEN)
def test_on_a_terminal_nothing_of_a_board_steers_it_and_each_line_is_its_own(
    spoken: list[tuple[Board, bytes]],
) -> None:
    readers: dict[Board, Reader] = defaultdict(Reader)
    came = [say(board, item) for board, data in spoken for item in readers[board].feed(data)]
    said = Shown(colour="256").show(*came)
    plain = re.sub(r"\x1b\[[0-9;:]*m", "", said)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", plain)
    lines = plain.split("\n")[:-1]
    assert len(lines) == len(came)
    assert all(re.match(r"(ttyUSB0|ttyACM10|x) +\| ", line) for line in lines)


STEPS = st.lists(st.sampled_from([START, OK, READY, EXPIRED, Output(b"words\n")]), max_size=30)


@given(STEPS, STEPS, st.lists(st.booleans(), max_size=60))
def test_a_filter_by_verdict_treats_each_board_as_if_it_were_alone(
    one: list[Item], other: list[Item], turns: list[bool]
) -> None:
    left, right = list(one), list(other)
    mixed = [
        say(A, left.pop(0)) if turn else say(B, right.pop(0)) for turn in turns if left and right
    ]
    mixed += [say(A, item) for item in left] + [say(B, item) for item in right]
    both = Shown("fail", as_json=True).show(*mixed).splitlines()
    for board, items in ((A, one), (B, other)):
        alone = Shown("fail", as_json=True).show(*[say(board, item) for item in items])
        mine = [line for line in both if json.loads(line)["port"] == board.port]
        assert mine == alone.splitlines()
