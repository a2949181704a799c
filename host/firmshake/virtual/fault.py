"""What can be wrong with a virtual board, on request. Does no I/O.

Each fault has a name with a value or without, as `firmshake virtual --fault NAME[=VALUE]` takes it;
FAULTS is the table of all of them. What they do is done where the thing is: the line, the chip, the
drive.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from firmshake.virtual.nor import SIZES

SEED = 1
# by how much `slow` is slower where it names no number
_SLOWNESS = 10.0
_SLOWEST = 10_000.0
# more than one wrong byte in ten is no line
_MOST_NOISE = 0.1

ESP, PICO, CIRCUITPYTHON = "esp", "pico", "circuitpython"


@dataclass(frozen=True)
class Cut:
    """When the cable is pulled: at a `share` of what a tool writes, or after `count` bytes."""

    share: float | None = None
    count: int | None = None


@dataclass(frozen=True)
class Faults:
    """All that is wrong with one board; nothing by default.

    `unplug_at` happens once, and again only after `VirtualBoard.break_again`. `flash_size` is what
    the flash chip claims, in bytes; `noise` the share of bytes with a wrong bit, in both
    directions, drawn from `seed`; `slow` how many times longer a byte takes on the line.
    """

    unplug_at: Cut | None = None
    flash_size: int | None = None
    dead_repl: bool = False
    noise: float = 0.0
    drive_is_full: bool = False
    drive_is_read_only: bool = False
    reboot_loop: bool = False
    busy: bool = False
    slow: float = 1.0
    seed: int = SEED


NONE = Faults()


class BadFault(ValueError):
    """No such fault, no such value, or none that this kind of board can have."""


class Kind(NamedTuple):
    """A row: the kinds of board that it is for, how its value is written, and what it does."""

    boards: tuple[str, ...]
    value: str
    help: str
    read: Callable[[str], dict[str, Any]]


def parse(texts: Iterable[str], board: str) -> Faults:
    """The faults that `NAME[=VALUE]` name, for a kind of board. Raises BadFault."""
    faults = NONE
    for text in texts:
        name, equals, value = text.partition("=")
        kind = FAULTS.get(name)
        if kind is None:
            raise BadFault(f"no fault is named {name!r}; there are {', '.join(FAULTS)}")
        if board not in kind.boards:
            raise BadFault(f"{name} is not for this board")
        try:
            if not kind.value and equals:
                raise ValueError
            faults = replace(faults, **kind.read(value))
        except (ValueError, OverflowError):
            wanted = f"{name}{kind.value}" if kind.value else f"{name}, without a value"
            raise BadFault(f"{text!r} should be {wanted}") from None
    return faults


def _cut(value: str) -> dict[str, Any]:
    if found := re.fullmatch(r"(\d{1,2}(?:\.\d{1,3})?|100)%", value, re.ASCII):
        return {"unplug_at": Cut(share=float(found[1]) / 100)}
    if re.fullmatch(r"\d{1,9}", value, re.ASCII):
        return {"unplug_at": Cut(count=int(value))}
    raise ValueError


def _flash_size(value: str) -> dict[str, Any]:
    if value not in SIZES:
        raise ValueError
    return {"flash_size": SIZES[value]}


def _noise(value: str) -> dict[str, Any]:
    return {"noise": _number(value, 0, _MOST_NOISE)}


def _slow(value: str) -> dict[str, Any]:
    return {"slow": _number(value, 1, _SLOWEST) if value else _SLOWNESS}


def _number(value: str, least: float, most: float) -> float:
    number = float(value)
    if math.isnan(number) or not least < number <= most:
        raise ValueError
    return number


def _flag(name: str) -> Callable[[str], dict[str, Any]]:
    return lambda _: {name: True}


_ALL = (ESP, PICO, CIRCUITPYTHON)
FAULTS = {
    "unplug-at": Kind(
        _ALL,
        "=PERCENT% of the first region or file that is written, or =BYTES received",
        "the cable is pulled in the middle",
        _cut,
    ),
    "wrong-flash-size": Kind(
        (ESP,),
        f"={'|'.join(SIZES)}",
        "the flash chip claims another size than it has",
        _flash_size,
    ),
    "dead-repl": Kind(_ALL, "", "the REPL never answers", _flag("dead_repl")),
    "noisy-line": Kind(
        _ALL, f"=SHARE of bytes, up to {_MOST_NOISE}", "bits turn over on the line", _noise
    ),
    "full-drive": Kind(
        (PICO, CIRCUITPYTHON), "", "the drive takes nothing more", _flag("drive_is_full")
    ),
    "read-only-drive": Kind(
        (PICO, CIRCUITPYTHON), "", "the drive cannot be written", _flag("drive_is_read_only")
    ),
    "reboot-loop": Kind(_ALL, "", "the firmware starts again and again", _flag("reboot_loop")),
    "busy": Kind(_ALL, "", "another program holds the port", _flag("busy")),
    "slow": Kind(
        _ALL,
        f"[=TIMES], more than 1 and up to {_SLOWEST:.0f}",
        f"bytes take longer, {_SLOWNESS:.0f} times if not told",
        _slow,
    ),
}


class Noise:
    """One direction of a line on which a `share` of the bytes gets one wrong bit."""

    def __init__(self, share: float, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  a test repeats it
        self._share = share
        self._left = self._gap()

    def pass_on(self, data: bytes) -> bytes:
        """What arrives of these bytes: as many, and the same ones for the same stream."""
        if self._left >= len(data):
            self._left -= len(data)
            return data
        arrived = bytearray(data)
        at = int(self._left)
        while at < len(arrived):
            arrived[at] ^= 1 << self._random.randrange(8)
            at += 1 + int(self._gap())
        self._left = at - len(arrived)
        return bytes(arrived)

    def _gap(self) -> float:
        """How many bytes pass before the next wrong one."""
        if not self._share:
            return math.inf
        return math.floor(math.log(1 - self._random.random()) / math.log(1 - self._share))
