"""The filter by verdict: which climbs go through, and what is held back of the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.climbgate import Gate, Only
from firmshake.event import STAGES, Event

Thing = Event | str | int  # an event, a line of other output, or so many lines left out


def gate(*patterns: str, most: int = 1000) -> "Gate[Thing]":
    return Gate(
        lambda thing: thing if isinstance(thing, Event) else None,
        lambda count: count,
        Only(patterns),
        most,
    )


def fed(through: "Gate[Thing]", things: list[Thing]) -> list[Thing]:
    return [shown for thing in things for shown in through.feed(thing)]


START = Event(4, 1, "identity", "start")
READY = Event(9, 2, "ready", "ok")
EXPIRED = Event(8, 2, "tls", "fail", {"step": "server_certificate", "cause": "expired"})
REFUSED = Event(7, 2, "tcp", "fail", {"cause": "refused"})
RETRY = Event(10, 3, "boot", "info", {"retry_ms": "1000"})
BOOT = Event(0, 1, "boot", "info", {"agent": "0.1.0"})


@pytest.mark.parametrize(
    ("pattern", "verdict", "wanted"),
    [
        ("ready", "ready", True),
        ("ready", "ready/session_lost", False),
        ("fail", "ready", False),
        ("fail", "ready/session_lost", True),
        ("fail", "tls.server_certificate/expired", True),
        ("tls", "tls.server_certificate/expired", True),
        ("tls", "tls/unknown", True),
        ("tls", "tcp/refused", False),
        ("tls.*", "tls.server_certificate/expired", True),
        ("tls.*", "tcp/refused", False),
        ("tls.server_certificate", "tls.server_certificate/expired", True),
        ("tls.server_certificate/expired", "tls.server_certificate/expired", True),
        ("tls.server_certificate/expired", "tls.server_certificate/self_signed", False),
        ("*/timeout", "dns/timeout", True),
        ("*/timeout", "dns/not_found", False),
    ],
)
def test_what_a_pattern_fits(pattern: str, verdict: str, wanted: bool) -> None:
    assert Only((pattern,)).wants(verdict) is wanted


def test_a_pattern_that_begins_with_no_stage_is_strange() -> None:
    patterns = ("fail", "ready", "tls.*", "t*", "*/timeout", "tsl.*", "expired")
    assert Only(patterns).strange(STAGES) == ["tsl.*", "expired"]


def test_without_a_pattern_everything_goes_through_at_once() -> None:
    through = gate()
    for thing in ("noise", START, "half", READY, "more"):
        assert through.feed(thing) == [thing]


def test_a_climb_is_shown_whole_once_its_verdict_is_wanted_and_what_follows_at_once() -> None:
    through = gate("fail")
    assert fed(through, [START, "noise"]) == []
    assert through.feed(EXPIRED) == [START, "noise", EXPIRED]
    assert through.feed(RETRY) == [RETRY]
    assert through.feed("late") == ["late"]
    assert through.feed(START) == []


def test_a_climb_whose_verdict_is_not_wanted_is_not_shown() -> None:
    through = gate("tls.*")
    assert fed(through, [START, REFUSED, RETRY, "noise", START, READY, "words"]) == []
    assert fed(through, [START, EXPIRED]) == [START, EXPIRED]


def test_a_ready_board_that_fails_later_is_shown_from_the_beginning_of_its_climb() -> None:
    lost = Event(11, 9, "ready", "fail", {"cause": "session_lost"})
    assert fed(gate("fail"), [START, READY, "words", lost]) == [START, READY, "words", lost]


def test_a_climb_that_the_board_breaks_off_has_no_verdict_and_is_not_shown() -> None:
    through = gate("fail", "ready")
    assert fed(through, [START, "broken off", BOOT, START]) == []
    assert through.feed(READY) == [BOOT, START, READY]


def test_looking_at_the_certificate_again_once_the_time_is_known_begins_no_climb() -> None:
    clock = Event(5, 1, "clock", "ok")
    again = Event(6, 1, "identity", "start")
    assert fed(gate("ready"), [START, clock, again, READY]) == [START, clock, again, READY]


def test_what_is_held_back_is_bounded_and_what_went_is_said() -> None:
    noise: list[Thing] = [f"line {number}" for number in range(10)]
    assert fed(gate("fail", most=4), [START, *noise, EXPIRED]) == [7, *noise[6:], EXPIRED]


def test_what_never_came_takes_what_is_held_with_it() -> None:
    through = gate("fail")
    fed(through, [START, "noise"])
    assert through.lose(5) == []
    assert fed(through, ["later", EXPIRED]) == [7, "later", EXPIRED]
    assert through.lose(3) == [3]


def test_another_filter_shows_what_is_held_where_it_is_wanted_now() -> None:
    through = gate("fail")
    fed(through, [START, "noise"])
    assert through.change(Only(("ready",))) == []
    assert through.change(Only()) == [START, "noise"]
    assert through.change(Only()) == []
    fed(through, [READY])
    assert through.change(Only(("fail",))) == []
    assert through.feed("kept") == []
    assert through.change(Only(("ready",))) == ["kept"]
    assert through.feed("more") == ["more"]


VERDICTS = st.sampled_from([READY, EXPIRED, REFUSED, None])
CLIMBS = st.lists(st.tuples(st.integers(0, 5), VERDICTS, st.integers(0, 3)), max_size=8)


@given(CLIMBS, st.sampled_from([(), ("fail",), ("ready",), ("tls.*", "ready"), ("tcp",)]))
def test_exactly_the_wanted_climbs_are_shown_in_their_order(
    climbs: list[tuple[int, Event | None, int]], patterns: tuple[str, ...]
) -> None:
    said: list[Thing] = []
    wanted: list[Thing] = []
    for number, (before, verdict, after) in enumerate(climbs):
        climb: list[Thing] = [START, *(f"{number} before {one}" for one in range(before))]
        climb += [
            *([verdict] if verdict else []),
            *(f"{number} after {one}" for one in range(after)),
        ]
        said += climb
        if not patterns or (verdict and Only(patterns).wants(verdict.verdict or "")):
            wanted += climb
    assert fed(gate(*patterns), said) == wanted
