"""Several sources merged: order, bounds and fairness, whatever comes."""

import threading
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from firmshake.merging import Dropped, Merge

ROOM = 10
# which source says something, or None: somebody takes so many
STEPS = st.lists(st.one_of(st.integers(1, 4), st.tuples(st.integers(1, 30))), max_size=200)


def by_source(taken: list[tuple[int, int | Dropped]]) -> dict[int, list[int | Dropped]]:
    found: dict[int, list[int | Dropped]] = defaultdict(list)
    for source, item in taken:
        found[source].append(item)
    return found


@given(STEPS)
def test_with_room_nothing_is_lost_and_each_sources_order_is_kept(
    steps: list[int | tuple[int]],
) -> None:
    merge: Merge[int] = Merge(10_000, lambda item: 1)
    put: dict[int, list[int]] = defaultdict(list)
    taken: list[tuple[int, int | Dropped]] = []
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            taken += merge.take(step[0])
        else:
            merge.put(step, number)
            put[step].append(number)
    taken += merge.take(len(steps))
    assert len(merge) == 0
    assert by_source(taken) == put


@given(STEPS)
def test_without_room_the_oldest_go_and_their_number_is_said(
    steps: list[int | tuple[int]],
) -> None:
    merge: Merge[int] = Merge(ROOM, lambda item: 1)
    # of each source what waits, and how much had to go before it
    waiting: dict[int, list[int]] = defaultdict(list)
    gone: dict[int, int] = defaultdict(int)
    for number, step in enumerate([*steps, (len(steps),)]):
        if not isinstance(step, tuple):
            merge.put(step, number)
            waiting[step].append(number)
            if len(waiting[step]) > ROOM:
                waiting[step].pop(0)
                gone[step] += 1
            assert len(merge) == sum(map(len, waiting.values()))
            continue
        for source, items in by_source(merge.take(step[0])).items():
            if gone[source]:
                assert items.pop(0) == Dropped(gone.pop(source))
            assert items == waiting[source][: len(items)]
            del waiting[source][: len(items)]
    assert not any(waiting.values())
    assert not any(gone.values())


@given(st.lists(st.integers(0, 100), min_size=1, max_size=8), st.integers(1, 100))
def test_each_that_waits_has_its_share_whatever_the_others_said(
    counts: list[int], most: int
) -> None:
    merge: Merge[int] = Merge(10_000, lambda item: 1)
    for source, count in enumerate(counts):
        for number in range(count):
            merge.put(source, number)
    taken = merge.take(most)
    assert len(taken) == min(most, sum(counts))
    share = most // len(counts)
    found = by_source(taken)
    assert all(len(found[source]) >= min(share, count) for source, count in enumerate(counts))


@given(st.lists(st.integers(1, 4), max_size=100))
def test_what_is_taken_at_once_is_in_the_order_in_which_it_came(sources: list[int]) -> None:
    merge: Merge[int] = Merge(10_000, lambda item: 1)
    for number, source in enumerate(sources):
        merge.put(source, number)
    assert merge.take(100) == [(source, number) for number, source in enumerate(sources)]


def test_an_item_larger_than_the_room_is_kept_alone() -> None:
    merge: Merge[str] = Merge(10, len)
    merge.put(1, "before")
    merge.put(1, "much larger than that")
    assert merge.take(9) == [(1, Dropped(1)), (1, "much larger than that")]


def test_it_wakes_where_something_waits_that_did_not_before() -> None:
    woken: list[int] = []
    merge: Merge[int] = Merge(ROOM, lambda item: 1, lambda: woken.append(len(merge)))
    merge.put(1, 1)
    merge.put(2, 2)
    assert woken == [1]
    merge.take(2)
    merge.put(1, 3)
    assert woken == [1, 1]


def test_many_threads_put_while_one_takes() -> None:
    merge: Merge[int] = Merge(100_000, lambda item: 1)

    def speak(source: int) -> None:
        for number in range(2000):
            merge.put(source, number)

    threads = [threading.Thread(target=speak, args=[source]) for source in range(4)]
    for thread in threads:
        thread.start()
    taken: list[tuple[int, int | Dropped]] = []
    while any(thread.is_alive() for thread in threads) or len(merge):
        taken += merge.take(50)
    assert by_source(taken) == {source: list(range(2000)) for source in range(4)}
