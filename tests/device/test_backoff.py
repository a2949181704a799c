"""The waits between climbs: never under a second, growing, bounded, and not the same everywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from firmshake_agent.backoff import LEAST_MS, MOST_MS, wait_ms

RANDOM = range(256)


def test_a_wait_is_never_under_a_second() -> None:
    assert LEAST_MS >= 1000
    assert min(wait_ms(failures, random) for failures in range(100) for random in RANDOM) >= 1000


@given(st.integers(0, 10**9), st.integers(0, 255))
def test_a_wait_is_bounded_however_long_the_broker_is_gone(failures: int, random: int) -> None:
    assert LEAST_MS <= wait_ms(failures, random) <= MOST_MS


@given(st.integers(0, 40), st.integers(0, 255))
def test_waits_grow_with_every_failure_up_to_the_most(failures: int, random: int) -> None:
    assert wait_ms(failures, random) <= wait_ms(failures + 1, random)
    assert wait_ms(failures, 0) == min(LEAST_MS << failures, MOST_MS)


def test_the_jitter_takes_up_to_half_off_and_spreads_a_fleet() -> None:
    for failures in range(1, 20):
        waits = [wait_ms(failures, random) for random in RANDOM]
        assert waits == sorted(waits, reverse=True)
        assert max(waits) // 2 <= min(waits) < max(waits) * 0.51
        assert len(set(waits)) > 200
