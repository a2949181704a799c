"""What tells one board of a series from the others: numbers, addresses, places. Does no I/O.

The same series each time, so that a board that was provisioned is known again. An ESP32 has four
addresses of its own, from its base address on, so that the next board's is four further.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from firmshake.virtual.devkit import DEFAULT_MAC
from firmshake.virtual.fault import CIRCUITPYTHON, PICO
from firmshake.virtual.pico import DEFAULT_ID
from firmshake.virtual.pico import DEFAULT_MAC as RADIO_MAC

_ADDRESSES = 4
_LARGEST_PORT = 65535


def own(number: int, kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of board `number`, from 1, of a series, where they differ from the first one's.

    Raises ValueError where the series goes too far.
    """
    found: dict[str, Any] = {}
    steps = number - 1
    if options["port"]:
        found["port"] = options["port"] + steps
        if found["port"] > _LARGEST_PORT:
            raise ValueError("there are not so many ports from --port on")
    if kind in (PICO, CIRCUITPYTHON):
        is_pico = str(options["board"]).startswith("pico")
        default = DEFAULT_ID if is_pico else DEFAULT_MAC
        first = options["unique_id"] or default.hex()
        found["unique_id"] = _further(first, steps if is_pico else steps * _ADDRESSES)
        found["radio"] = _further(RADIO_MAC.hex(), steps)
    else:
        found["mac"] = _further(options["mac"], steps * _ADDRESSES)
    for name, suffix in (("flash", ".bin"), ("drive", "")):
        if options[name] is not None:
            found[name] = options[name] / f"{number:03}{suffix}"
    return found


def faults(texts: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """The faults of each of `count` boards: `3:busy` is for the third, `busy` for all.

    Raises ValueError where there is no such board.
    """
    found: list[list[str]] = [[] for _ in range(count)]
    for text in texts:
        named = re.fullmatch(r"(\d{1,4}):(.*)", text, re.ASCII)
        if named is None:
            numbers = range(count)
        elif 1 <= int(named[1]) <= count:
            numbers = range(int(named[1]) - 1, int(named[1]))
        else:
            raise ValueError(f"{text!r} is for a board that is not among {count}")
        for number in numbers:
            found[number].append(named[2] if named else text)
    return [tuple(each) for each in found]


def _further(text: str, steps: int) -> str:
    """A number in hexadecimal, so many further; what is none is left to who reads it."""
    plain = re.sub(r"[:-]", "", text)
    if not steps or not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", plain):
        return text
    size = len(plain) // 2
    number = int(plain, 16) + steps
    if number >> 8 * size:
        raise ValueError(f"there are not so many numbers from {text} on")
    return number.to_bytes(size, "big").hex()
