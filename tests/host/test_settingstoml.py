"""settings.toml: our values are there, and not one line of the user's is lost."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.errors import Error
from firmshake.settingstoml import merge

USERS = """\
# my own
CIRCUITPY_WIFI_SSID = "home"   # the router downstairs

CIRCUITPY_PYSTACK_SIZE = 1536
my_key = 7
"""
KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
VALUES = st.one_of(st.integers(-(2**31), 2**31), st.text(st.characters(codec="utf-8"), max_size=20))


def test_a_value_is_put_in_the_place_of_the_old_one() -> None:
    merged = merge(USERS, {"CIRCUITPY_PYSTACK_SIZE": 4000})
    assert merged == USERS.replace("1536", "4000")


def test_what_is_new_stands_at_the_end_and_before_any_table() -> None:
    assert merge("a = 1", {"b": "two"}) == 'a = 1\nb = "two"\n'
    assert merge("a = 1\n[table]\nb = 3\n", {"b": 2}) == "a = 1\nb = 2\n[table]\nb = 3\n"
    assert merge("", {"b": 2}) == "b = 2\n"


def test_what_is_there_already_changes_not_one_byte() -> None:
    text = "  a   =  'one'  # as I like it\r\n"
    assert merge(text, {"a": "one"}) is text


def test_line_ends_stay_as_they_are() -> None:
    assert merge("a = 1\r\nb = 2\r\n", {"b": 3}) == "a = 1\r\nb = 3\r\n"


@pytest.mark.parametrize("text", ["a = ", "a = 1\na = 2\n", "[", "a = 1 b = 2"])
def test_what_is_no_toml_is_left_alone(text: str) -> None:
    with pytest.raises(Error, match="not TOML"):
        merge(text, {"b": 1})


def test_a_value_of_several_lines_is_not_cut() -> None:
    with pytest.raises(Error, match="line by line"):
        merge('a = """one\ntwo"""\n', {"a": "three"})


def test_a_line_that_looks_like_a_key_inside_a_text_is_left() -> None:
    text = 'note = """\na = 1\n"""\n'
    with pytest.raises(Error, match="line by line"):
        merge(text, {"a": 2})


@given(st.dictionaries(KEYS, VALUES, max_size=6), st.dictionaries(KEYS, VALUES, max_size=3))
def test_all_values_are_there_and_all_others_stay(
    before: dict[str, str | int], wanted: dict[str, str | int]
) -> None:
    text = merge("# mine\n", before)
    merged = merge(text, wanted)
    assert tomllib.loads(merged) == {**before, **wanted}
    kept = [line for line in text.splitlines() if line.partition(" = ")[0] not in wanted]
    assert [line for line in merged.splitlines() if line in kept][: len(kept)] == kept


@given(st.text(max_size=200))
def test_any_text_is_merged_or_refused(text: str) -> None:
    try:
        merged = merge(text, {"KEY": 1})
    except Error:
        return
    assert tomllib.loads(merged.replace("\r\n", "\n"))["KEY"] == 1
