"""What flash decides without a board: speeds and progress."""

from __future__ import annotations

import pytest

from firmshake import flash
from firmshake.errors import Error
from firmshake.image import Run

NOISE = "Changing baud rate to 921600...\nERROR: A fatal error occurred: Invalid head of packet\n"
NOBODY = "ERROR: A fatal error occurred: Failed to connect to ESP32: No serial data received.\n"


def tried(
    port: str, outcomes: list[tuple[int, str]], baud: int = 921600
) -> tuple[list[int], tuple[str, int] | Error]:
    """The speeds that were tried, and what came of it."""
    rates: list[int] = []

    def attempt(rate: int) -> tuple[int, str]:
        rates.append(rate)
        return outcomes[len(rates) - 1]

    try:
        return rates, flash._with_slower_tries(attempt, port, baud, "write the flash")
    except Error as error:
        return rates, error


def test_a_noisy_line_is_tried_slower() -> None:
    rates, outcome = tried("/dev/x", [(2, NOISE), (2, NOISE), (0, "done")])
    assert rates == [921600, 460800, 115200]
    assert outcome == ("done", 115200)


def test_a_line_that_is_noisy_at_every_speed_is_an_error() -> None:
    rates, outcome = tried("/dev/x", [(2, NOISE)] * 3)
    assert len(rates) == 3
    assert isinstance(outcome, Error)
    assert "loses bytes" in outcome.message


def test_what_speed_does_not_explain_is_tried_once() -> None:
    rates, outcome = tried("/dev/x", [(2, NOBODY)])
    assert rates == [921600]
    assert isinstance(outcome, Error)


def test_speeds_start_at_the_one_asked_for() -> None:
    assert tried("/dev/x", [(2, NOISE), (0, "")], baud=230400)[0] == [230400, 115200]
    assert tried("/dev/x", [(0, "")], baud=2_000_000)[0] == [2_000_000]


def test_a_plain_socket_keeps_the_speed_that_a_board_starts_with() -> None:
    assert tried("socket://hub:4000", [(0, "")])[0] == [115200]


@pytest.mark.parametrize("order", [1, -1])
def test_progress_counts_bytes_of_all_runs_and_never_goes_back(order: int) -> None:
    runs = [Run(0x200000, bytes(8192)), Run(0x300000, bytes(4096))]
    steps: list[tuple[int, int]] = []
    progress = flash._Progress(runs[::order], lambda *step: steps.append(step))
    for address in (0x200000, 0x201000, 0x202000, 0x200000, 0x300800, 0x301000):
        progress.line(f"Writing at {address:#010x} [==>   ] 1.0% 1/2 [0s]")
    progress.line("Hash of data verified.")
    progress.finish()
    assert steps == [(4096, 12288), (8192, 12288), (10240, 12288), (12288, 12288)]
