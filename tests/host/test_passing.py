"""A board's own output on a terminal: its colours work, and nothing else of it does."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from firmshake.cli.passing import Passing
from firmshake.cli.printer import Printer
from firmshake.event import Event, Output

COLOUR = "\x1b[0;32mI (31)\x1b[0m \x1b[38:5:1mred\x1b[m\tx\r\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def passed(*pieces: str) -> str:
    passing = Passing()
    return "".join(map(passing.feed, pieces)) + passing.end()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (COLOUR, COLOUR),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b]52;c;aGk=\x1b\\", "\\x1b]52;c;aGk=\\x1b\\"),
        ("\x1b[2J\x1b[1;1H", "\\x1b[2J\\x1b[1;1H"),
        ("\x1b[>4;2m", "\\x1b[>4;2m"),
        ("\x1b[6n", "\\x1b[6n"),
        ("\x1bc", "\\x1bc"),
        ("\x9b2J\x9d0;t\x9c", "\\x9b2J\\x9d0;t\\x9c"),
        ("a\0b\bc\x0b\x7f", "a\\x00b\\x08c\\x0b\\x7f"),
        ("\x1b[31", "\\x1b[31"),
        ("\x1b\x1b[31mx", "\\x1b\x1b[31mx"),
        ("ä ✓ \U0001f600", "ä ✓ \U0001f600"),
    ],
)
def test_only_colours_pass(text: str, shown: str) -> None:
    assert passed(text) == shown
    assert passed(*text) == shown, "the same in pieces"


@given(st.lists(st.text(st.sampled_from("\x1b[0;1m]HJ\x07\r\n\x9bé")), max_size=6))
def test_however_it_is_cut_the_same_is_shown(pieces: list[str]) -> None:
    whole = "".join(pieces)
    shown = passed(*pieces)
    assert shown == passed(whole)
    for sequence in shown.split("\x1b")[1:]:
        assert sequence.lstrip("[0123456789;").startswith("m")
        assert sequence.startswith("[")
    assert not {"\x07", "\x9b"} & set(shown)


def printed(file: io.StringIO, *items: Event | Output) -> str:
    printer = Printer(Console(file=file, highlight=False, color_system=None, width=80))
    for item in items:
        printer.show(item)
    printer.end_line()
    return file.getvalue()


@pytest.mark.parametrize("text", ["\x1b]0;t\x07\n", "\x1b[2J\x1b[31mx\n", "a\0b\n"])
def test_a_file_or_a_pipe_gets_it_as_it_came_and_a_terminal_does_not(text: str) -> None:
    output = Output(text.encode())
    assert printed(io.StringIO(), output) == text
    assert printed(Terminal(), output) == passed(text) != text


def test_a_sequence_that_never_ends_is_shown_before_the_next_event() -> None:
    ready = Event(3, 900, "ready", "ok", {"took": "1"})
    shown = printed(Terminal(), Output(b"x\x1b["), ready)
    assert shown.startswith("x\\x1b[\n✓ ready")
    assert printed(Terminal(), Output(b"x\x1b[")) == "x\\x1b[\n"
    assert printed(Terminal(), Output(b"\x1b[3"), Output(b"1mx\n")) == "\x1b[31mx\n"
