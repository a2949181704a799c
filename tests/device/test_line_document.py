"""docs/serial-protocol.md says what the code does: its examples parse, its tables are whole."""

import re
from pathlib import Path

import pytest

from firmshake.event import STAGES
from firmshake.wording import WORDS
from firmshake_agent import causes
from firmshake_agent.line import MAX_LINE, crc16, format_line, parse_line

DOCUMENT = (Path(__file__).parents[2] / "docs" / "serial-protocol.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def lines(kind: str) -> list[str]:
    return [
        line
        for word, block in BLOCKS
        if word == kind
        for line in block.splitlines()
        if "@fs1 " in line and "<" not in line
    ]


def rows(heading: str) -> list[str]:
    """First cells of the table under a heading."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize("line", lines(""))
def test_each_example_is_an_intact_event_written_as_the_board_writes_it(line: str) -> None:
    parsed = parse_line(line)
    assert parsed is not None
    assert format_line(*parsed) in line


@pytest.mark.parametrize("line", lines("damaged"))
def test_each_damaged_example_is_no_event(line: str) -> None:
    assert parse_line(line) is None


def test_there_are_examples_of_both_kinds() -> None:
    assert len(lines("")) > 10
    assert lines("damaged")


def test_the_checksum_is_described_by_its_example() -> None:
    covered = re.search(r"the checksum covers `(.*)`", DOCUMENT)
    assert covered
    assert f"{covered[1]} *{crc16(covered[1]):04X}" in lines("")


def test_the_longest_line_is_named() -> None:
    assert f"at most {MAX_LINE} characters" in DOCUMENT


def test_the_stages_are_the_ladders() -> None:
    assert rows("Stages") == list(STAGES)


def test_each_key_that_a_cause_speaks_of_is_described() -> None:
    text = (Path(causes.__file__).parent / "causes.txt").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if not line.startswith("#")]
    assert set(re.findall(r"\{(\w+)\}", "\n".join(table))) <= set(rows("Fields"))


def test_each_key_that_has_words_for_people_is_described() -> None:
    """But for the one that the host adds to a climb that was never finished."""
    assert set(WORDS) - {"last_ms"} <= set(rows("Fields"))


def test_the_keys_are_in_order_and_stand_there_once() -> None:
    assert rows("Fields") == sorted(set(rows("Fields")))
