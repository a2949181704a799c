"""The fuzzer's targets over their seeds, and over what hypothesis makes of them.

`make fuzz` runs the same targets by coverage and for as long as one likes. Work is counted in lines
of Python, since a clock tells more of the machine than of the code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType

import pytest
from fuzz import targets
from hypothesis import given, settings
from hypothesis import strategies as st

import firmshake
from firmshake import esptool_words, portfaults

CORPUS = Path(targets.__file__).parents[1] / "corpus"
SOURCES = str(Path(firmshake.__file__).parents[2])
EACH = pytest.mark.parametrize("name", targets.NAMES)

# Lines that a target may take before the first byte: MiniMQTT's three stages in silence, 50 ms each
BASE = 40_000
LONG = 8192


def seeds(name: str) -> list[Path]:
    return sorted((CORPUS / name).iterdir())


def changed(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with parts changed, left out, put in or said twice."""
    change = st.tuples(st.integers(0, len(data)), st.integers(0, 40), st.binary(max_size=8))

    def apply(changes: list[tuple[int, int, bytes]], twice: int) -> bytes:
        made = bytearray(data)
        for at, gone, new in changes:
            made[at : at + gone] = new
        return bytes(made + made[twice:])

    return st.builds(apply, st.lists(change, max_size=6), st.integers(0, 2 * len(data)))


def test_every_target_has_its_seeds_and_every_seed_its_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(targets.NAMES)
    modules = {path.stem for path in Path(targets.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == set(targets.NAMES)
    assert all(seeds(name) for name in targets.NAMES)


@EACH
def test_no_seed_breaks_a_rule(name: str) -> None:
    for seed in seeds(name):
        targets.load(name).one(seed.read_bytes())


@EACH
@settings(max_examples=40)
@given(st.data())
def test_nothing_made_of_the_seeds_breaks_a_rule(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(seeds(name)), label="seed")
    targets.load(name).one(data.draw(changed(seed.read_bytes())))


@EACH
@settings(max_examples=20)
@given(data=st.binary(max_size=400))
def test_no_bytes_at_all_break_a_rule(name: str, data: bytes) -> None:
    targets.load(name).one(data)


def lines(call: Callable[[bytes], None], data: bytes) -> int:
    """How many lines of the product, and of what it stands on, the call takes."""
    count = 0

    def inside(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return inside

    def enter(frame: FrameType, event: str, argument: object) -> object:
        where = frame.f_code.co_filename
        return inside if where.startswith(SOURCES) and "/tests/" not in where else None

    before = sys.gettrace()
    sys.settrace(enter)  # type: ignore[arg-type]
    try:
        call(data)
    finally:
        sys.settrace(before)
    return count


@EACH
def test_the_work_grows_with_the_bytes_and_no_faster(name: str) -> None:
    target: ModuleType = targets.load(name)
    assert lines(target.one, seeds(name)[0].read_bytes()) > 0, "nothing was counted"
    known = [seed.read_bytes() for seed in seeds(name)]
    for start, again in [*target.HARD, *((data, data[-40:]) for data in known)]:
        long = (start + again * LONG)[:LONG]
        assert lines(target.one, long) <= BASE + target.WORK * len(long), start + again


def test_the_count_of_lines_would_show_more() -> None:
    """The control: a reader that looks at all it has at each byte."""
    space: dict[str, Callable[[bytes], None]] = {}
    text = "def one(data):\n for n in range(len(data)):\n  for byte in data[:n]:\n   pass\n"
    exec(compile(text, SOURCES + "/host/quadratic.py", "exec"), space)
    assert lines(space["one"], bytes(2048)) > BASE + 400 * 2048


@pytest.mark.parametrize("fault", [*esptool_words.FAULTS, *portfaults.OPENING, portfaults.GONE])
def test_no_phrase_is_searched_for_without_a_bound(fault: portfaults.Fault) -> None:
    """A `.*` in a search takes the square of a line's length."""
    assert not re.search(r"[*+]|,\}", fault.pattern)


def test_no_seed_holds_a_private_key() -> None:
    """PEM, and SEC1 (RFC 5915) or PKCS#8 around it, with anything but zeros for the secret."""
    for name in targets.NAMES:
        for seed in seeds(name):
            data = seed.read_bytes()
            assert b"PRIVATE KEY" not in data
            for found in re.finditer(rb"\x02\x01\x01\x04([\x08-\x42])", data):
                size = found[1][0]
                assert data[found.end() :][:size] == bytes(size)
            assert not re.search(rb"\x02\x01\x00\x02\x82[\x00-\x10].\x00", data), "PKCS#1"
