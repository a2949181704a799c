"""The keys of a console with several boards: what they are, and what they do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.cli.controls import BACKSPACE, CLEAR, ENTER, ESCAPE, Controls
from firmshake.cli.keys import keys
from firmshake.climbgate import Only


def pressed(*given: str, only: Only | None = None, search: str = "") -> Controls:
    controls = Controls(only or Only(), search)
    for key in given:
        controls.press(key, boards=3)
    return controls


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("q", ["q"]),
        ("/é1\r", ["/", "é", "1", ENTER]),
        ("\x1b", [ESCAPE]),
        ("\x7f\x08\x15", [BACKSPACE, BACKSPACE, CLEAR]),
        ("\x1b[A\x1bOP\x1b[3~x", ["x"]),  # cursor up, F1, delete
        ("\x00\x01\t", []),
    ],
)
def test_which_keys_a_terminal_has_sent(text: str, found: list[str]) -> None:
    assert keys(text) == found


def test_a_search_is_typed_and_taken_with_enter() -> None:
    assert pressed("/", "q", "p", "x", BACKSPACE, " ", "1", ENTER).search == "qp 1"


def test_escape_leaves_the_search_as_it_was_and_then_ends_it() -> None:
    controls = pressed("/", "x", ESCAPE, search="before")
    assert controls.search == "before"
    controls.press(ESCAPE, boards=3)
    assert controls.search == ""


def test_a_search_for_nothing_finds_all() -> None:
    controls = pressed("/", "x", CLEAR, ENTER, search="before")
    assert controls.finds("anything")


def test_case_makes_no_difference_to_a_search() -> None:
    controls = Controls(Only(), "Straße")
    assert controls.finds("die STRASSE")
    assert not controls.finds("the street")


@pytest.mark.parametrize("key", ["p", " "])
def test_a_pause_goes_on_with_the_same_key(key: str) -> None:
    assert pressed(key).is_paused
    assert not pressed(key, key).is_paused


def test_f_goes_from_what_was_asked_for_to_failures_to_all() -> None:
    asked = Only(("tls.*",))
    found = [pressed(*["f"] * times, only=asked).only for times in range(4)]
    assert found == [asked, Only(("fail",)), Only(), asked]
    assert [pressed(*["f"] * times).only for times in range(3)] == [Only(), Only(("fail",)), Only()]


def test_a_number_chooses_a_board_that_is_there_and_0_all() -> None:
    controls = pressed("2")
    assert (controls.hides(1), controls.hides(2)) == (True, False)
    assert pressed("2", "7").board == 2
    assert not pressed("2", "0").hides(1)


def test_q_ends_and_a_question_mark_wants_help() -> None:
    assert pressed("q").is_at_end
    assert pressed("?").wants_help
    assert not pressed("/", "q", "?").is_at_end


def test_the_status_says_what_is_left_out() -> None:
    assert pressed().status() == []
    assert pressed("f", "2", search="x").status() == ["only fail", 'only "x"', "only board 2"]
    assert pressed("/", "a", "b").status()[0] == "search: ab_"


@given(st.text())
def test_whatever_is_typed_is_a_key_or_nothing(text: str) -> None:
    controls = pressed(*keys(text))
    assert controls.board <= 3
    assert len(controls.search) <= 100
