"""Whether a run wants a board that can't tell who it is yet, by its kind, in both databases."""

from __future__ import annotations

import pytest
from support.claiming import ask, finish, got, plan, refused

from firmshake.fleet.planned import Planned
from firmshake.registry import Registry, RunRecord

PICO = "28:cd:c1:00:00:01"
OTHER = "28:cd:c1:00:00:02"


def answer(registry: Registry, run: RunRecord, *boards: str, session: str = "bench-1") -> str:
    """Why such a board is not wanted, "" where it may be."""
    refusal = registry.unwanted(run.id, boards=boards or ("pico-w",), session=session)
    if refusal is None:
        return ""
    assert refusal.words.endswith("nothing was written to it")
    return refusal.reason


@pytest.mark.parametrize(
    ("planned", "pico", "pico_2"),
    [
        (Planned("pump-1"), "", ""),
        (Planned("pump-1", board="pico-w"), "", "wrong_board"),
        (Planned("pump-1", board="esp32"), "wrong_board", "wrong_board"),
        # it may be that very board
        (Planned("pump-1", unique_id=PICO), "", ""),
        (Planned("pump-1", unique_id=PICO, board="pico-w"), "", "wrong_board"),
        (Planned("pump-{unique_id}", board="pico-w"), "", "wrong_board"),
    ],
)
def test_a_line_that_is_open_takes_boards_of_its_kind(
    registry: Registry, planned: Planned, pico: str, pico_2: str
) -> None:
    run = plan(registry, Planned("lamp", board="esp32"), planned)
    assert (answer(registry, run), answer(registry, run, "pico-2-w")) == (pico, pico_2)
    assert answer(registry, run, "esp32") == ""


def test_a_refusal_names_the_kind(registry: Registry) -> None:
    run = plan(registry, Planned("lamp", board="esp32"))
    refusal = registry.unwanted(run.id, boards=["pico-w"], session="s")
    assert refusal is not None
    assert "no line of the manifest that is still open takes a board of the kind pico-w" in (
        refusal.words
    )


@pytest.mark.parametrize("unique_id", [None, PICO])
@pytest.mark.parametrize("board", [None, "pico-w"])
def test_a_line_is_over_when_it_is_proved_and_not_when_it_has_failed(
    registry: Registry, unique_id: str | None, board: str | None
) -> None:
    run = plan(registry, Planned("pump-1", unique_id=unique_id, board=board))
    finish(registry, got(ask(registry, run, PICO, "pico-w")), "failed")
    assert answer(registry, run) == ""
    claim = got(ask(registry, run, PICO, "pico-w"))
    assert answer(registry, run) == "busy"
    registry.release(claim, "open")
    assert answer(registry, run) == ""
    finish(registry, got(ask(registry, run, PICO, "pico-w")), "proved")
    assert answer(registry, run) == "wrong_board"


def test_what_another_run_is_at_work_on_may_become_free(registry: Registry) -> None:
    one = plan(registry, Planned("pump-1"), path="one.csv")
    other = plan(registry, Planned("pump-1"), path="other.csv")
    claim = got(ask(registry, other, PICO, "pico-w"))
    assert answer(registry, one) == "busy"
    registry.release(claim, "open")
    assert answer(registry, one) == ""


def test_what_a_dead_station_held_is_free(registry: Registry) -> None:
    run = plan(registry, Planned("pump-1", board="pico-w"))
    got(ask(registry, run, PICO, "pico-w", station="dead", lease_s=-1.0))
    # the session itself has only slept
    assert answer(registry, run, session="dead") == "busy"
    assert answer(registry, run) == ""
    assert registry.slots(run.id) == {"open": 1}


def test_a_run_of_a_rule_wants_boards_until_there_are_enough(registry: Registry) -> None:
    endless = registry.open_run("endless", "p-{number}", None)
    run = registry.open_run("two", "n-{number}", 2)
    for unique_id in (PICO, OTHER):
        assert answer(registry, run) == ""
        finish(registry, got(ask(registry, run, unique_id, "pico-w")), "proved")
    assert answer(registry, run) == "full"
    # the control: without an end, there is always room
    assert answer(registry, endless) == ""


def test_a_place_that_was_counted_and_is_not_proved_is_left(registry: Registry) -> None:
    run = registry.open_run("one", "n-{number}", 1)
    claim = got(ask(registry, run, PICO, "pico-w"))
    assert answer(registry, run) == "busy"
    registry.release(claim, "failed")
    assert answer(registry, run) == ""


def test_whoever_is_not_wanted_would_have_got_no_claim(registry: Registry) -> None:
    run = plan(registry, Planned("lamp", board="esp32"), Planned("pump", board="pico-w"))
    finish(registry, got(ask(registry, run, PICO, "pico-w")), "proved")
    assert answer(registry, run) == refused(ask(registry, run, OTHER, "pico-w")) == "wrong_board"
