"""A station hears each of its workers, and waits for none of them, whatever it does."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import pytest
from support import hands

from firmshake import flash, inherited
from firmshake.fleet import crew as module
from firmshake.fleet import message
from firmshake.fleet.crew import Crew, Dead, Hand, Work
from firmshake.fleet.message import Nonsense
from firmshake.fleet.wire import MOST_AT_ONCE, Wire
from firmshake.fleet.worker import Job
from firmshake.project import Broker, Project

LIMIT_S = 60.0


@pytest.fixture
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    root = tmp_path_factory.getbasetemp()
    fleet = Project(root, "fleet", Broker("127.0.0.1", 8883, "127.0.0.1"), None, (), 60, "fleet")
    return Job("/dev/null", fleet, None, 1.0, force=False)


Ends = tuple[Wire, Connection]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    wire, pipe = Wire(ours), Connection(theirs.detach())
    yield wire, pipe
    wire.close()
    if not pipe.closed:
        pipe.close()


def test_whole_messages_are_heard_and_half_ones_are_waited_for(ends: Ends) -> None:
    wire, pipe = ends
    assert wire.hear() == []
    whole = message.encode({"tell": "a"})
    data = struct.pack("!i", len(whole)) + whole
    os.write(pipe.fileno(), data + data[:-1])
    assert wire.hear() == [{"tell": "a"}]
    assert wire.hear() == []
    assert not wire.has_more
    os.write(pipe.fileno(), data[-1:])
    assert wire.hear() == [{"tell": "a"}]
    pipe.close()
    assert wire.hear() == []
    assert wire.is_closed


def test_the_longest_message_goes_both_ways(ends: Ends) -> None:
    wire, pipe = ends
    long = {"text": "x" * (message.LONGEST - len('{"text":""}'))}
    pipe_says = message.encode(long)
    assert len(pipe_says) == message.LONGEST
    heard: list[dict[str, Any]] = []
    os.set_blocking(pipe.fileno(), False)
    left = struct.pack("!i", len(pipe_says)) + pipe_says
    while not heard:
        if left:
            left = left[os.write(pipe.fileno(), left) :]
        heard = wire.hear()
    assert heard == [long]
    os.set_blocking(pipe.fileno(), True)
    wire.send({"text": "y" * 1000})
    assert message.decode(pipe.recv_bytes()) == {"text": "y" * 1000}


@pytest.mark.parametrize("length", [-1, message.LONGEST + 1, (1 << 31) - 1])
def test_more_than_anything_needs_is_nonsense_before_it_has_come(ends: Ends, length: int) -> None:
    wire, pipe = ends
    os.write(pipe.fileno(), struct.pack("!i", length))
    with pytest.raises(Nonsense):
        wire.hear()


def test_one_that_never_stops_is_heard_in_parts(ends: Ends) -> None:
    wire, pipe = ends
    one = message.encode({"tell": "a"})
    for _ in range(MOST_AT_ONCE + 1):
        pipe.send_bytes(one)
    assert len(wire.hear()) == MOST_AT_ONCE
    assert wire.has_more
    assert len(wire.hear()) == 1
    assert not wire.has_more


def test_one_that_does_not_listen_talks_nonsense(ends: Ends) -> None:
    wire, _pipe = ends
    while not wire.has_more:
        wire.send({"text": "x" * 10_000})
    with pytest.raises(Nonsense):
        wire.hear()


def test_nothing_happens_where_nobody_is_there(ends: Ends) -> None:
    wire, pipe = ends
    pipe.close()
    wire.send({"text": "x"})
    assert wire.hear() == []
    assert wire.is_closed


def until_heard(crew: Crew, hand: Hand, wanted: int = 1) -> list[dict[str, Any]]:
    """What it says, once that is so much; raises as `hear` does."""
    said: list[dict[str, Any]] = []
    ends = time.monotonic() + LIMIT_S
    while len(said) < wanted and time.monotonic() < ends:
        for one in crew.heard(1.0):
            found = one.hear()
            said += found if one is hand else []
    return said


def end_of(crew: Crew, hand: Hand) -> Exception:
    """Hear and answer it until it has to be dismissed."""
    ends = time.monotonic() + LIMIT_S
    while time.monotonic() < ends:
        for one in crew.heard(0.1):
            try:
                for said in one.hear():
                    one.send({"answer": said})
            except (Nonsense, Dead) as error:
                assert one is hand
                return error
    raise TimeoutError


def is_gone(hand: Hand) -> bool:
    """Whether it is dead, and not only dying: who was let be sleeps for ten times as long."""
    hand.process.join(LIMIT_S)
    return not hand.process.is_alive()


@pytest.mark.parametrize(
    ("other", "kind"),
    [(hands.greedy, Nonsense), (hands.boundless, Nonsense), (hands.silent, Dead)],
)
def test_a_worker_that_is_no_use_is_found_out(job: Job, other: Work, kind: type) -> None:
    with Crew(other) as crew:
        hand = crew.hire(job)
        assert isinstance(end_of(crew, hand), kind)
        crew.dismiss(hand)
        assert is_gone(hand)


def test_one_that_stops_half_way_holds_up_nobody_else(job: Job) -> None:
    with Crew(hands.either) as crew:
        bad, good = crew.hire(replace(job, target="half_way")), crew.hire(job)
        ready: set[Hand] = set()
        ends = time.monotonic() + LIMIT_S
        while len(ready) < 2 and time.monotonic() < ends:
            ready |= set(crew.heard(0.1))
        assert ready == {bad, good}
        assert bad.hear() == []
        assert until_heard(crew, good) == [{"ask": "x"}]
        good.send({"device_id": "a"})
        assert until_heard(crew, good) == [{"tell": "heard", "answer": {"device_id": "a"}}]
        assert bad.hear() == []
    assert is_gone(bad)
    assert is_gone(good)


def test_a_worker_that_is_killed_is_told_from_one_that_breaks(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    # how it ended is told by a third process, which may be slow
    monkeypatch.setattr(module, "_LINGER_S", LIMIT_S)
    with Crew(hands.broken) as crew:
        hand = crew.hire(job)
        assert until_heard(crew, hand) == [{"tell": "last"}]
        with pytest.raises(Dead) as broken:
            until_heard(crew, hand)
    assert (broken.value.words, broken.value.is_killed) == (
        "its process ended by a fault (SIGSEGV)",
        False,
    )
    with Crew(hands.polite) as crew:
        hand = crew.hire(job)
        until_heard(crew, hand)
        assert hand.process.pid is not None
        os.kill(hand.process.pid, signal.SIGKILL)
        with pytest.raises(Dead) as killed:
            until_heard(crew, hand)
    assert (killed.value.words, killed.value.is_killed) == (
        "its process was killed (SIGKILL)",
        True,
    )


def test_what_a_worker_says_at_last_is_heard_before_its_end(job: Job) -> None:
    with Crew(hands.lost) as crew:
        hand = crew.hire(job)
        hand.process.join(LIMIT_S)
        assert len(until_heard(crew, hand)) == 1
        with pytest.raises(Dead, match="ended by a fault"):
            until_heard(crew, hand)


SECRETS = ("PGPASSWORD", "PGSERVICEFILE", "PGPASSFILE", "WIFI_PASSWORD")


def test_secrets_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LC_TIME", "C")
    assert not {*SECRETS} & {*flash.environment()}
    assert flash.environment()["LC_TIME"] == "C"
    with inherited.without_secrets(os.environ):
        assert not {*SECRETS} & {*os.environ}
        assert os.environ["LC_TIME"] == "C"
    assert {*SECRETS} <= {*os.environ}


def test_a_worker_has_no_secrets_of_the_environment(job: Job) -> None:
    with Crew(hands.wary) as crew:
        (said,) = until_heard(crew, crew.hire(job))
    assert said == {"tell": "error", "text": "no secrets", "hint": "", "refused": False}


def test_a_fault_of_ours_is_told_as_one_without_its_words(job: Job) -> None:
    with Crew(hands.faulty) as crew:
        (said,) = until_heard(crew, crew.hire(job))
    assert said["tell"] == "error"
    assert re.fullmatch(
        r"a fault in firmshake: InvalidVersion at firmshake\.fleet\.worker:\d+", said["text"]
    )
    assert "report" in said["hint"]
    assert hands.SECRET not in str(said)
