"""The rules for device ids, which manifests, runs without one and the registry have in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake import deviceid, idrule
from firmshake.errors import Error

LAST = 9_999_999


@pytest.mark.parametrize(
    ("rule", "made"),
    [
        ("pump", "pump"),
        ("p-{number}", "p-7"),
        ("p-{number:04}", "p-0007"),
        ("x-{unique_id}", "x-a0b1"),
        ("{prefix}.{unique_id}.{number:02}", "gh.a0b1.07"),
    ],
)
def test_a_rule_is_filled_in(rule: str, made: str) -> None:
    assert idrule.parse(rule, "gh").filled(7, "A0:B1") == made


def test_until_a_board_comes_its_field_stays() -> None:
    made = idrule.parse("{number:03}-{unique_id}").filled(7)
    assert idrule.parse(made).filled(unique_id="a0:b1") == "007-a0b1"


@pytest.mark.parametrize("width", ["4", "0", "00", "010", ">4", " 4", "x"])
def test_a_width_is_01_to_09(width: str) -> None:
    with pytest.raises(Error, match="width"):
        idrule.parse(f"p-{{number:{width}}}")


@given(st.text(alphabet="ab-{}:06number_id unique", max_size=40))
def test_a_rule_that_passes_makes_device_ids(text: str) -> None:
    try:
        rule = idrule.parse(text)
        rule.check(LAST)
    except Error:
        return
    for unique_id, number in (("a0:b1:c2:d3:e4:f5", 1), ("e6616408432f8e32", LAST)):
        assert deviceid.is_legal(rule.filled(number, unique_id))
