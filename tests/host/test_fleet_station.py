"""When a station begins with a board, by what was seen of it and what its worker said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from support.boardtools import wait_until

from firmshake.boards.row import Row
from firmshake.fleet.crew import Crew, Hand
from firmshake.fleet.lookout import Look, Lookout
from firmshake.fleet.row import BoardRow, Totals
from firmshake.fleet.station import Station, Wanted

PORT = "/dev/ttyUSB0"
FAILED = {"tell": "error", "text": "the line broke", "hint": "", "refused": False}


class Hired:
    """A crew that hires and does nothing."""

    def __init__(self) -> None:
        self.jobs: list[str] = []

    def hire(self, job: str) -> Hand:
        self.jobs.append(job)
        return cast(Hand, object())

    def dismiss(self, hand: Hand) -> None:
        pass


class Shown:
    """A view; `states` are those of each board, the last one of each."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}

    def board(self, row: BoardRow) -> None:
        self.states[row.key] = row.state

    def removed(self, key: str) -> None:
        del self.states[key]

    def totals(self, totals: Totals) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Bench:
    """A station with a clock that stands still, at one board that is plugged in and worked on."""

    def __init__(self) -> None:
        self.now, self.hired, self.shown = 100.0, Hired(), Shown()
        counter = cast(Any, SimpleNamespace(run=SimpleNamespace(wanted=1)))
        wanted = Wanted(job=cast(Any, str), jobs=8, proof_s=60.0)
        self.station = Station(counter, wanted, self.shown, list, clock=lambda: self.now)
        self.look(Row("adapter", ports=(PORT,)))

    def look(self, *rows: Row, began_s: float | None = None) -> None:
        """The station is told of a look, which began just now."""
        self.turn(Look(rows, self.now if began_s is None else began_s))

    def turn(self, *looks: Look) -> None:
        self.station._take(cast(Crew, self.hired), looks)

    def fail(self) -> None:
        """The worker can't do its work, for a reason that may be chance."""
        (place,) = self.station._places.values()
        self.station._heard(cast(Crew, self.hired), place, FAILED)


def test_a_look_is_as_old_as_its_beginning() -> None:
    now = 100.0

    def look() -> list[Row]:
        nonlocal now
        now += 60
        return []

    seen: list[Look] = []

    def has_looked() -> bool:
        seen.extend(lookout.seen())
        return bool(seen)

    with Lookout(look, lambda: now) as lookout:
        wait_until(has_looked)
    assert seen[0].began_s == 100.0


def test_a_look_that_saw_nothing_for_its_trouble_is_none() -> None:
    bench = Bench()
    bench.fail()
    bench.now += 60
    bench.turn(Look((), bench.now, trouble="no rights"))
    assert bench.hired.jobs == [PORT]
    bench.look(Row("adapter", ports=(PORT,)))
    assert bench.hired.jobs == [PORT] * 2


def test_a_second_attempt_is_made_once_the_board_was_seen_since_the_first() -> None:
    bench = Bench()
    assert bench.hired.jobs == [PORT]
    bench.fail()
    assert bench.shown.states == {PORT: "waiting"}
    board, failed_s = Row("adapter", ports=(PORT,)), bench.now
    bench.look(board)
    assert len(bench.hired.jobs) == 1
    # the computer stood still meanwhile: what was seen then is old
    bench.now += 60
    bench.turn()
    bench.look(board, began_s=failed_s)
    assert len(bench.hired.jobs) == 1
    bench.look(board)
    assert bench.hired.jobs == [PORT] * 2


def test_a_board_that_has_gone_since_its_first_attempt_gets_no_second_one() -> None:
    bench = Bench()
    bench.fail()
    bench.now += 60
    bench.turn()
    bench.look()
    bench.look()
    assert bench.hired.jobs == [PORT]
    assert bench.shown.states == {}
