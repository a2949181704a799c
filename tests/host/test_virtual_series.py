"""A series of virtual boards: what tells one from the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firmshake.virtual import series
from firmshake.virtual.fault import CIRCUITPYTHON, ESP, PICO


def options(**others: object) -> dict[str, Any]:
    given = {"port": 0, "mac": "24:0a:c4:12:34:56", "unique_id": None, "board": "esp32"}
    return {**given, "flash": None, "drive": None, **others}


def test_each_board_has_four_addresses_as_espressif_gives_them() -> None:
    macs = [series.own(number, ESP, options())["mac"] for number in (1, 2, 256)]
    assert macs == ["24:0a:c4:12:34:56", "240ac412345a", "240ac4123852"]


@pytest.mark.parametrize(
    ("kind", "board"), [(PICO, "pico-w"), (CIRCUITPYTHON, "pico-2-w"), (CIRCUITPYTHON, "esp32-c3")]
)
def test_no_two_boards_have_one_number(kind: str, board: str) -> None:
    found = [series.own(number, kind, options(board=board)) for number in range(1, 257)]
    assert len({each["unique_id"] for each in found}) == 256
    assert len({each["radio"] for each in found}) == 256


def test_ports_follow_each_other_from_the_one_that_is_named() -> None:
    assert series.own(3, ESP, options(port=7000))["port"] == 7002
    assert "port" not in series.own(3, ESP, options())
    with pytest.raises(ValueError, match="ports"):
        series.own(3, ESP, options(port=65534))


def test_each_board_has_a_file_and_a_folder_of_its_own() -> None:
    found = series.own(12, PICO, options(board="pico-w", flash=Path("f"), drive=Path("d")))
    assert (found["flash"], found["drive"]) == (Path("f/012.bin"), Path("d/012"))


def test_a_series_that_would_begin_anew_is_refused() -> None:
    assert series.own(1, ESP, options(mac="fe:ff:ff:ff:ff:ff"))["mac"] == "fe:ff:ff:ff:ff:ff"
    with pytest.raises(ValueError, match="not so many"):
        series.own(2, PICO, options(board="pico-w", unique_id="ff" * 8))


def test_what_is_no_number_is_left_to_who_reads_it() -> None:
    assert series.own(2, ESP, options(mac="nonsense"))["mac"] == "nonsense"


def test_a_fault_is_for_all_boards_or_for_the_one_that_it_names() -> None:
    assert series.faults(["slow=2", "3:unplug-at=50%", "3:busy"], 3) == [
        ("slow=2",),
        ("slow=2",),
        ("slow=2", "unplug-at=50%", "busy"),
    ]


@pytest.mark.parametrize("text", ["0:busy", "4:busy"])
def test_a_fault_of_a_board_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not among 3"):
        series.faults([text], 3)
