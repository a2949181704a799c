"""The rule for a device id: text with `{unique_id}` and `{number:06}` in it. Does no I/O."""

from __future__ import annotations

import re

from firmshake import deviceid
from firmshake.errors import Error

_FIELD = re.compile(r"\{(?:(unique_id)|number(?::0?([1-9]\d?))?)\}", re.ASCII)
# the longest that a board's unique id is, and the highest number that is ever given
_WIDEST_UNIQUE_ID = "f" * 32
LAST_NUMBER = 9_999_999


def check(rule: str) -> str:
    """Return `rule` as it is; raise Error where it makes no device ids, whatever the board is."""
    if re.search(r"[{}]", _FIELD.sub("", rule)):
        raise Error(
            f"{rule!r} is no rule for device ids",
            hint="its fields are {unique_id}, {number}, and {number:06} for six digits at least",
        )
    deviceid.check(fill(rule, _WIDEST_UNIQUE_ID, LAST_NUMBER))
    return rule


def is_fixed(rule: str) -> bool:
    """Return whether the rule is a device id as it stands."""
    return "{" not in rule


def has_number(rule: str) -> bool:
    """Return whether the rule asks for a number."""
    return "{number" in rule


def has_unique_id(rule: str) -> bool:
    """Return whether the rule asks for the board's unique id."""
    return "{unique_id}" in rule


def fill(rule: str, unique_id: str, number: int = 0) -> str:
    """Return the device id that the rule gives to a board.

    Its unique id stands there as digits alone: a colon can't stand in a device id.
    """
    digits = re.sub("[:-]", "", unique_id).lower()

    def value(found: re.Match[str]) -> str:
        return digits if found[1] else f"{number:0{found[2] or 1}}"

    return _FIELD.sub(value, rule)
