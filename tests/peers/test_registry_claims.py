"""Who is to be which device: the rules of a claim, leases and fencing, in both databases."""

import multiprocessing
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from support.claimants import claim_all, die_with_a_claim
from support.claiming import ISSUING, NOW, ask, finish, got, in_force, issue, plan, refused
from support.claimmodel import LEASE_S, Device, Lease, Model, Slot
from support.postgres import Server

from firmshake.ca import certificate as certificates
from firmshake.errors import Error
from firmshake.fleet.planned import Planned
from firmshake.registry import Claim, ClaimLost, Refusal, Registry


def test_a_plan_is_made_once_for_each_digest(registry: Registry) -> None:
    planned = [Planned("pump-1", line=2), Planned("x-{unique_id}", line=3)]
    first = registry.plan("spring", "d1", "spring.csv", planned)
    assert (first.wanted, first.rule, first.ended_at) == (2, None, None)
    registry.end_run(first.id)
    assert registry.run(first.id).ended_at is not None
    assert registry.last_run() is None
    assert registry.last_run(unfinished=False) == registry.run(first.id)
    # the same manifest goes on, wherever it lies now
    again = registry.plan("spring", "d1", "elsewhere.csv", planned)
    assert again == replace(first, manifest="elsewhere.csv")
    assert registry.plan("autumn", "d2", "autumn.csv", planned).id != first.id
    assert [run.name for run in registry.runs()] == ["spring", "autumn"]
    assert [(one.device_id, one.state) for one in registry.devices()] == [("pump-1", "planned")]
    assert [change.state for change in registry.history("pump-1")] == ["planned"]


def test_a_plan_with_an_id_twice_changes_nothing(registry: Registry) -> None:
    with pytest.raises(Error, match="the same id"):
        plan(registry, Planned("pump-1"), Planned("pump-1"))
    assert (registry.runs(), registry.devices()) == ([], [])


def test_what_is_proved_with_a_good_certificate_is_done_from_the_start(
    registry: Registry,
) -> None:
    ways = {"good": "proved", "revoked": "proved", "failed": "failed", "moved": "proved"}
    first = plan(registry, *map(Planned, ways))
    for name, state in ways.items():
        finish(registry, got(ask(registry, first, f"board of {name}")), state)
    (row,) = registry.certificates(device_id="revoked")
    registry.revoke([row.serial_number], "keyCompromise")
    again = plan(
        registry,
        Planned("good", unique_id="board of good"),
        Planned("revoked"),
        Planned("failed"),
        Planned("moved", unique_id="another board"),
    )
    found = {one.slot.device_id: one.slot.status for one in registry.devices_of(again.id)}
    assert found == {"good": "proved", "revoked": "open", "failed": "open", "moved": "open"}


def test_a_board_that_is_wanted_by_its_id_comes_before_any(registry: Registry) -> None:
    run = plan(registry, Planned("any"), Planned("mine", unique_id="u1", profile="long", line=3))
    claim = got(ask(registry, run, "u1"))
    assert (claim.device_id, claim.line, claim.profile) == ("mine", 3, "long")
    assert claim.known_state == "planned"
    assert got(ask(registry, run, "u2")).device_id == "any"
    assert refused(ask(registry, run, "u3")) == "full"


def test_a_board_that_no_line_names_is_not_wanted(registry: Registry) -> None:
    run = plan(registry, Planned("mine", unique_id="u1"))
    assert refused(ask(registry, run, "u2")) == "not_wanted"


def test_a_board_of_another_kind_is_the_wrong_one(registry: Registry) -> None:
    run = plan(registry, Planned("p", board="pico-w"), Planned("w", "u1", board="pico-w"))
    assert refused(ask(registry, run, "u2", "esp32")) == "wrong_board"
    assert refused(ask(registry, run, "u1", "esp32")) == "wrong_board"
    assert got(ask(registry, run, "u2", "pico", "pico-w")).device_id == "p"


def test_a_rule_is_filled_in_by_the_board(registry: Registry) -> None:
    run = plan(registry, Planned("x-{unique_id}"), Planned("y-{unique_id}", unique_id="A0:B1"))
    assert got(ask(registry, run, "A0:B1")).device_id == "y-a0b1"
    assert got(ask(registry, run, "c2")).device_id == "x-c2"


def test_a_board_or_device_under_a_claim_is_busy(registry: Registry) -> None:
    run = plan(registry, Planned("pump-1"), Planned("pump-2"))
    other = plan(registry, Planned("pump-1", unique_id="u2"))
    ask(registry, run, "u1", station="west")
    for answer in (ask(registry, run, "u1"), ask(registry, other, "u2")):
        assert refused(answer) == "busy"
        assert "west" in answer.words


def test_a_device_of_another_board_is_not_given(registry: Registry) -> None:
    first = plan(registry, Planned("pump-1"))
    finish(registry, got(ask(registry, first, "u1")), "proved")
    moved = plan(registry, Planned("pump-1", unique_id="u2"))
    answer = ask(registry, moved, "u2")
    assert refused(answer) == "other_board"
    assert "u1" in answer.words
    # and the way out, should that one be broken
    assert "firmshake provision --id pump-1 --replace" in answer.words
    # the control: the very board gets it
    assert got(ask(registry, plan(registry, Planned("pump-1")), "u1")).known_state == "proved"


def test_a_board_that_is_proved_as_another_device_is_taken_by_its_name_alone(
    registry: Registry,
) -> None:
    first = plan(registry, Planned("pump-1"), Planned("pump-2"))
    finish(registry, got(ask(registry, first, "u1")), "proved")
    finish(registry, got(ask(registry, first, "u2")), "failed")
    second = plan(registry, Planned("fan-1"), Planned("fan-2"), Planned("fan-3", "u1"))
    third = plan(registry, Planned("any-1"))
    answer = ask(registry, third, "u1")
    assert refused(answer) == "other_device"
    assert "pump-1" in answer.words
    assert got(ask(registry, second, "u1")).device_id == "fan-3"
    # the controls: one that has failed, and one whose certificate opens nothing any more
    assert got(ask(registry, second, "u2")).device_id == "fan-1"
    finish(registry, got(ask(registry, plan(registry, Planned("x")), "u3")), "proved")
    (row,) = registry.certificates(device_id="x")
    registry.revoke([row.serial_number], "cessationOfOperation")
    assert got(ask(registry, third, "u3")).device_id == "any-1"


def test_a_board_that_becomes_another_device_leaves_the_one_that_it_was(
    registry: Registry,
) -> None:
    first = plan(registry, Planned("pump-1"), Planned("pump-2"))
    was = issue(registry, claim := got(ask(registry, first, "u1")))
    registry.set_state("pump-1", "written", unique_id="u1", token=claim.token)
    registry.set_state("pump-1", "proved", token=claim.token)
    registry.release(claim, "proved")
    finish(registry, got(ask(registry, first, "u2")), "proved")
    beside = in_force(registry) - {was}
    second = plan(registry, Planned("fan-1", "u1"), path="fans.csv")
    claim = got(ask(registry, second, "u1"))
    now = issue(registry, claim)
    # until it is written, the board may be either
    assert in_force(registry) == beside | {was, now}
    gone = registry.set_state("fan-1", "written", unique_id="u1", token=claim.token)
    assert (gone, in_force(registry)) == ([was], beside | {now})
    left = registry.device("pump-1")
    assert left is not None
    assert (left.state, left.unique_id) == ("planned", None)
    assert [change.state for change in registry.history("pump-1")][-2:] == ["proved", "planned"]
    assert registry.device_on("u1") == "fan-1"
    # its place in a run that has not ended is another board's
    assert registry.slots(first.id) == {"open": 1, "proved": 1}
    assert got(ask(registry, first, "u3")).device_id == "pump-1"


def test_a_board_that_had_failed_and_is_another_device_now_does_not_go_back(
    registry: Registry,
) -> None:
    first = plan(registry, Planned("pump-1"))
    finish(registry, got(ask(registry, first, "u1")), "failed")
    by_name(registry, "lamp", "u1")
    assert refused(ask(registry, first, "u1")) == "other_device"
    assert got(ask(registry, first, "u2")).device_id == "pump-1"


def test_what_was_issued_since_and_never_written_does_not_hide_that_a_board_is_proved(
    registry: Registry,
) -> None:
    finish(registry, got(ask(registry, plan(registry, Planned("pump-1")), "u1")), "proved")
    claim = got(ask(registry, plan(registry, Planned("fan-1", "u1")), "u1"))
    issue(registry, claim)
    registry.release(claim, "open")
    answer = ask(registry, plan(registry, Planned("any-1")), "u1")
    assert refused(answer) == "other_device"
    assert "pump-1" in answer.words


def test_a_run_that_goes_on_wants_anew_what_a_board_has_left_meanwhile(
    registry: Registry,
) -> None:
    planned = [Planned("pump-1"), Planned("x-{unique_id}"), Planned("pump-2")]
    run = registry.plan("spring", "d1", "spring.csv", planned)
    for name in ("u1", "u2", "u3"):
        finish(registry, got(ask(registry, run, name)), "proved")
    registry.end_run(run.id)
    by_name(registry, "lamp-1", "u1")
    by_name(registry, "lamp-2", "u2")
    assert registry.slots(run.id) == {"proved": 3}
    again = registry.plan("spring", "d1", "spring.csv", planned)
    assert registry.slots(again.id) == {"open": 2, "proved": 1}
    # what is named for its board has the new one's name
    assert [got(ask(registry, again, name)).device_id for name in ("u4", "u5")] == [
        "pump-1",
        "x-u5",
    ]


def test_a_device_that_goes_on_elsewhere_keeps_what_its_board_never_had(
    registry: Registry,
) -> None:
    by_name(registry, "gate", "u1")
    # its key is in a file now: no board is told
    elsewhere = ISSUING.issue("gate", now=datetime.now(UTC)).certificate
    registry.record_issued("gate", elsewhere)
    registry.set_state("gate", "written", serial_number=certificates.serial(elsewhere))
    registry.set_state("gate", "proved")
    by_name(registry, "lamp", "u1")
    assert certificates.serial(elsewhere) in in_force(registry)
    gate = registry.device("gate")
    assert gate is not None
    assert (gate.state, gate.unique_id) == ("proved", None)


def by_name(registry: Registry, device_id: str, unique_id: str) -> None:
    """Prove a board as the device that somebody named, outside any run."""
    made = ISSUING.issue(device_id, now=datetime.now(UTC)).certificate
    registry.record_issued(device_id, made, unique_id=unique_id)
    registry.set_state(device_id, "written", unique_id=unique_id)
    registry.set_state(device_id, "proved")


def test_a_slot_whose_board_has_failed_goes_to_the_next(registry: Registry) -> None:
    run = plan(registry, Planned("pump-1"), Planned("pump-2"))
    first, second = (got(ask(registry, run, name)) for name in ("u1", "u2"))
    finish(registry, second, "failed")
    finish(registry, first, "failed")
    # the board itself tries again with its own
    assert got(ask(registry, run, "u1")).device_id == first.device_id
    instead = got(ask(registry, run, "u3"))
    assert instead.device_id == second.device_id
    finish(registry, instead, "proved")
    assert refused(ask(registry, run, "u2")) == "full"
    assert (row := registry.device(second.device_id))
    assert row.unique_id == "u3"
    # what the first board was given is no good any more
    assert len(list(registry.revoked())) == 1


def test_a_run_with_a_rule_makes_slots_until_there_are_enough(registry: Registry) -> None:
    registry.set_state("p-0002", "planned")
    run = registry.open_run("bench", "p-{number:04}", 3)
    ids = [got(ask(registry, run, f"u{n}")).device_id for n in range(3)]
    assert ids == ["p-0001", "p-0003", "p-0004"]
    assert refused(ask(registry, run, "u9")) == "full"
    # the numbers go on in the next run
    endless = registry.open_run("bench", "p-{number:04}", None)
    assert got(ask(registry, endless, "u9")).device_id == "p-0005"


def test_numbers_that_are_promised_elsewhere_are_left_out(registry: Registry) -> None:
    registry.claim_numbers("/there", "p", 2)
    run = registry.open_run("bench", "p-{number:06}", None)
    assert got(ask(registry, run, "u1")).device_id == "p-000003"
    assert (claim := registry.claim_numbers("/there", "p", 1).claim)
    assert claim.first == 4


def test_a_board_keeps_the_id_that_it_has(registry: Registry) -> None:
    registry.set_state("old-name", "proved", unique_id="u1")
    run = registry.open_run("bench", "p-{number}", 1)
    claim = got(ask(registry, run, "u1"))
    assert (claim.device_id, claim.known_state) == ("old-name", "proved")
    assert refused(ask(registry, run, "u2")) == "full"


@pytest.mark.parametrize("bad", ["p-{numbers}", "{", "p-{unique_id.__class__}", "-{number}", ""])
def test_a_rule_that_makes_no_ids_is_refused(registry: Registry, bad: str) -> None:
    with pytest.raises(Error):
        registry.open_run("bench", bad, None)
    assert registry.runs() == []


class Time:
    """The database's clock, as leases see it."""

    def __init__(self, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(registry._database, "clock", lambda *_: self.seconds)


@pytest.fixture
def time(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(registry, monkeypatch)


def test_an_expired_claim_is_taken_over_and_its_token_refused(
    registry: Registry, time: Time
) -> None:
    run = plan(registry, Planned("pump-1", unique_id="u1"))
    dead = got(ask(registry, run, "u1", station="west", lease_s=60))
    time.seconds += 59
    assert refused(ask(registry, run, "u1")) == "busy"
    time.seconds += 2
    alive = got(ask(registry, run, "u1"))
    assert alive.device_id == dead.device_id
    identity = ISSUING.issue("pump-1", now=NOW)
    for late in (
        lambda: registry.set_state("pump-1", "proved", token=dead.token),
        lambda: registry.set_state("pump-1", "written", token=dead.token),
        lambda: registry.record_issued("pump-1", identity.certificate, token=dead.token),
        lambda: registry.release(dead, "proved"),
    ):
        with pytest.raises(ClaimLost):
            late()
    assert (row := registry.device("pump-1"))
    assert (row.state, row.certificate) == ("planned", None)
    finish(registry, alive, "proved")


def test_a_claim_that_is_renewed_stays(registry: Registry, time: Time) -> None:
    run = plan(registry, Planned("pump-1"), Planned("pump-2"))
    claim = got(ask(registry, run, "u1", station="west", lease_s=60))
    for _ in range(3):
        time.seconds += 40
        registry.renew("west", 60, [claim.token])
    assert refused(ask(registry, run, "u1")) == "busy"
    finish(registry, claim, "proved")


def test_a_claim_that_is_not_named_is_not_renewed(registry: Registry, time: Time) -> None:
    """Such as one that could not be given back."""
    run = plan(registry, Planned("pump-1"), Planned("pump-2"))
    named, left = (
        got(ask(registry, run, name, station="west", lease_s=60)) for name in ("u1", "u2")
    )
    foreign = got(ask(registry, plan(registry, Planned("pump-3")), "u3", lease_s=60))
    time.seconds += 40
    registry.renew("west", 60, [named.token, foreign.token])
    registry.renew("west", 60, [])
    time.seconds += 40
    assert refused(ask(registry, run, named.unique_id)) == "busy"
    assert got(ask(registry, run, left.unique_id)).device_id == left.device_id
    assert registry.status().stations == {"west": 1, "bench-1": 1}


def test_who_has_slept_keeps_its_own_claims(registry: Registry, time: Time) -> None:
    """A computer that wakes asks for a new board before it renews what it holds."""
    run = plan(registry, *(Planned(f"pump-{n}") for n in range(3)))
    held, lost = (got(ask(registry, run, name, lease_s=60)) for name in ("u1", "u2"))
    time.seconds += 3600
    assert got(ask(registry, run, "u3", lease_s=60)).device_id == "pump-2"
    registry.renew("bench-1", 60, [held.token])
    finish(registry, held, "proved")
    # the control: another station takes what has expired
    time.seconds += 3600
    assert got(ask(registry, run, "u2", station="west")).device_id == lost.device_id
    with pytest.raises(ClaimLost):
        registry.release(lost, "open")


def test_a_board_whose_claim_was_never_given_back_is_taken_up_by_its_own_station(
    registry: Registry, time: Time
) -> None:
    run = plan(registry, Planned("pump-1"))
    first = got(ask(registry, run, "u1", lease_s=60))
    assert refused(ask(registry, run, "u1")) == "busy"
    time.seconds += 61
    again = got(ask(registry, run, "u1"))
    assert (again.device_id, again.token != first.token) == ("pump-1", True)


def test_what_is_proved_stays_so_when_its_claim_is_given_back(registry: Registry) -> None:
    """The board of a proved device was plugged in again, and pulled before it was looked at."""
    run = plan(registry, Planned("pump-1"), Planned("pump-2"))
    finish(registry, got(ask(registry, run, "u1")), "proved")
    registry.release(got(ask(registry, run, "u1")), "open")
    registry.release(got(ask(registry, run, "u2")), "open")
    assert registry.slots(run.id) == {"proved": 1, "open": 1}
    # one that was given something new since has to be proved again
    again = got(ask(registry, run, "u1"))
    issue(registry, again)
    registry.release(again, "open")
    assert registry.slots(run.id) == {"open": 2}


def test_what_has_expired_and_nobody_took_can_still_be_finished(
    registry: Registry, time: Time
) -> None:
    claim = got(ask(registry, plan(registry, Planned("pump-1")), "u1", lease_s=60))
    time.seconds += 500
    finish(registry, claim, "proved")


def test_dropped_claims_are_free_at_once(registry: Registry) -> None:
    run = plan(registry, *(Planned(f"pump-{n}") for n in range(3)))
    claims = [got(ask(registry, run, f"u{n}", station=f"bench-{n}")) for n in range(3)]
    for n in range(2):
        registry.drop_session(f"bench-{n}")
    assert registry.status(run.id).stations == {"bench-2": 1}
    assert registry.status(run.id).slots == {"open": 2, "held": 1}
    again = [ask(registry, run, f"u{n}") for n in range(3)]
    assert [got(one).device_id for one in again[:2]] == [one.device_id for one in claims[:2]]
    assert refused(again[2]) == "busy"


def test_the_status_counts_by_state_verdict_and_station(registry: Registry) -> None:
    run = plan(registry, *(Planned(f"pump-{n}") for n in range(6)))
    other = registry.open_run("bench", "p-{number}", None)
    claims = [got(ask(registry, run, f"u{n}")) for n in range(5)]
    ask(registry, other, "v1", station="west")
    finish(registry, claims[0], "proved")
    for claim, verdict in zip(
        claims[1:4], ["tls/expired", "tcp/refused", "tls/expired"], strict=True
    ):
        registry.set_state(claim.device_id, "failed", verdict, token=claim.token)
        registry.release(claim, "failed")
    registry.set_state("elsewhere", "failed", "dns/unknown")
    found = registry.status(run.id)
    assert found.slots == {"open": 1, "held": 1, "proved": 1, "failed": 3}
    assert registry.slots(run.id) == found.slots
    assert found.open_slots == 1
    assert list(found.verdicts.items()) == [("tls/expired", 2), ("tcp/refused", 1)]
    assert found.stations == {"bench-1": 1}
    assert found.changes[0].device_id == "elsewhere"
    every = registry.status()
    assert every.devices == {"planned": 3, "proved": 1, "failed": 4}
    assert every.verdicts["dns/unknown"] == 1
    assert every.stations == {"bench-1": 1, "west": 1}


def test_the_report_has_every_slot_with_its_device_and_history(registry: Registry) -> None:
    run = plan(registry, Planned("pump-1", line=2), Planned("x-{unique_id}", line=3))
    finish(registry, got(ask(registry, run, "u1")), "proved")
    first, second = registry.devices_of(run.id)
    assert (first.slot.line, first.slot.status, first.slot.unique_id) == (2, "proved", "u1")
    assert first.device
    assert first.device.certificate
    states = [change.state for change in first.history]
    assert states == ["planned", "issued", "written", "proved"]
    assert (second.slot.device_id, second.device, list(second.history)) == (None, None, [])


def test_a_long_report_comes_in_pages(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmshake.registry.fleetreport._PAGE", 3)
    run = plan(registry, *(Planned(f"pump-{n:02}", line=n) for n in range(10)))
    assert [one.slot.line for one in registry.devices_of(run.id)] == list(range(10))


# many at once


@pytest.mark.parametrize("kind", ["manifest", "rule"])
def test_eight_stations_get_every_device_and_board_once(place: Path | str, kind: str) -> None:
    registry = Registry.create(place)
    boards = [f"u{n:02}" for n in range(40)]
    if kind == "manifest":
        run = plan(registry, *(Planned(f"pump-{n:02}") for n in range(40)))
    else:
        run = registry.open_run("bench", "pump-{number:02}", 40)
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    # each starts elsewhere in the list, and all want all of them
    orders = [boards[5 * part :] + boards[: 5 * part] for part in range(8)]
    stations = [
        context.Process(target=claim_all, args=(place, run.id, f"s{part}", order, out))
        for part, order in enumerate(orders)
    ]
    for station in stations:
        station.start()
    given = [out.get(timeout=120) for _ in boards]
    for station in stations:
        station.join()
        assert station.exitcode == 0
    assert out.empty()
    for which in zip(*given, strict=True):
        assert max(Counter(which).values()) == 1
    assert {unique for _, unique, _ in given} == set(boards)
    status = registry.status(run.id)
    assert status.slots == {"held": 40}
    assert sum(status.stations.values()) == 40


def test_the_claim_of_a_process_that_was_killed_expires(place: Path | str) -> None:
    """By the real clock: that of the machine, or of PostgreSQL."""
    registry = Registry.create(place)
    run = plan(registry, Planned("pump-1", unique_id="u1"))
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=die_with_a_claim, args=(place, run.id, "u1", out))
    process.start()
    dead = out.get(timeout=60)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    while isinstance(answer := ask(registry, run, "u1"), Refusal):
        assert answer.reason == "busy"
    assert answer.device_id == dead.device_id == "pump-1"
    with pytest.raises(ClaimLost):
        registry.set_state("pump-1", "written", token=dead.token)


# against a model

BOARDS = {"u0": ["esp32"], "u1": ["esp32", "esp32-s3"], "u2": ["pico-w"], "u3": ["esp32"]}


class Machine(RuleBasedStateMachine):
    """A registry and the model, told the same."""

    claims = Bundle("claims")
    made: Callable[[], Registry]
    rule_for: str | None

    def __init__(self) -> None:
        super().__init__()
        self.registry = self.made()
        self.model, self.run = self.begun()
        self.registry._database.clock = lambda *_: self.model.now
        self.moment = NOW
        self.registry._clock = lambda: self.moment

    def begun(self) -> tuple[Model, int]:
        if self.rule_for:
            # one slot that goes from board to board, or more of them
            most = 1 if "unique_id" in self.rule_for else 3
            run = self.registry.open_run("m", self.rule_for, most)
            return Model([], {}, self.rule_for, most), run.id
        slots = [
            Slot("a"),
            Slot("b", board="esp32"),
            Slot("c", wanted="u0"),
            Slot("d", board="pico-w"),
        ]
        planned = [Planned(s.device, unique_id=s.wanted, board=s.board) for s in slots]
        return Model(slots, {s.device: Device() for s in slots}), plan(self.registry, *planned).id

    def ticked(self) -> int:
        self.model.tick += 1
        self.moment = NOW + timedelta(minutes=self.model.tick)
        return self.model.tick

    @rule(target=claims, unique=st.sampled_from(sorted(BOARDS)), session=st.sampled_from("st"))
    def claim(self, unique: str, session: str) -> Claim | None:
        self.ticked()
        self.model.tick -= 1
        self.model.sweep(session, unique)
        self.ticked()
        expected = self.model.claim(unique, BOARDS[unique])
        answer = self.registry.claim(
            self.run,
            unique_id=unique,
            boards=BOARDS[unique],
            station=session,
            session=session,
            lease_s=LEASE_S,
        )
        if isinstance(answer, Refusal):
            assert answer.reason == expected
            return None
        assert not isinstance(expected, str), (expected, answer)
        number, device = expected
        assert answer.device_id == device
        if number == len(self.model.slots):
            self.model.slots.append(Slot(device))
            if self.rule_for == "n-{number}" and device.startswith("n-"):
                self.model.number = max(self.model.number, int(device[2:]))
        slot = self.model.slots[number]
        if slot.device != device:
            self.model.devices[slot.device].forsake()
        slot.device, slot.unique, slot.status = device, unique, "held"
        slot.changed = self.model.tick
        self.model.devices.setdefault(device, Device(changed=self.model.tick))
        assert answer.known_state == self.model.devices[device].state
        expires = self.model.now + LEASE_S
        self.model.leases[device] = Lease(unique, session, answer.token, expires, number)
        return answer

    @rule(claim=claims)
    def issue(self, claim: Claim | None) -> None:
        if claim is None or not self.holds(claim):
            return
        self.ticked()
        serial = issue(self.registry, claim)
        self.model.change(claim.device_id, "issued", claim.unique_id)
        self.model.devices[claim.device_id].issue(serial)

    @rule(claim=claims, state=st.sampled_from(["written", "proved", "failed"]))
    def change(self, claim: Claim | None, state: str) -> None:
        if claim is None:
            return
        self.ticked()
        if not self.holds(claim):
            with pytest.raises(ClaimLost):
                self.registry.set_state(claim.device_id, state, token=claim.token)
            return
        self.registry.set_state(
            claim.device_id, state, unique_id=claim.unique_id, token=claim.token
        )
        self.model.change(claim.device_id, state, claim.unique_id)

    @rule(claim=consumes(claims), status=st.sampled_from(["open", "proved", "failed"]))
    def release(self, claim: Claim | None, status: Any) -> None:
        if claim is None:
            return
        self.ticked()
        if not self.holds(claim):
            with pytest.raises(ClaimLost):
                self.registry.release(claim, status)
            return
        self.registry.release(claim, status)
        self.model.give_back(claim.device_id, status)

    @rule()
    def end(self) -> None:
        self.ticked()
        self.registry.end_run(self.run)
        self.model.end()

    @rule(seconds=st.sampled_from([3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.model.now += seconds

    @rule(session=st.sampled_from("st"), claim=claims)
    def renew(self, session: str, claim: Claim | None) -> None:
        tokens = [claim.token] if claim else []
        self.registry.renew(session, LEASE_S, tokens)
        for lease in self.model.leases.values():
            if lease.session == session and lease.token in tokens:
                lease.expires = self.model.now + LEASE_S

    @rule(session=st.sampled_from("st"))
    def drop(self, session: str) -> None:
        self.ticked()
        self.model.tick -= 1
        self.model.drop(lambda lease: lease.session == session)
        self.registry.drop_session(session)

    def holds(self, claim: Claim) -> bool:
        lease = self.model.leases.get(claim.device_id)
        return lease is not None and lease.token == claim.token

    @invariant()
    def agrees(self) -> None:
        found = [one.slot for one in self.registry.devices_of(self.run)]
        assert [(s.device_id, s.unique_id, s.status) for s in found] == [
            (s.device, s.unique, s.status) for s in self.model.slots
        ]
        states = Counter(device.state for device in self.model.devices.values())
        assert self.registry.status().devices == states
        certificates = (device.certificates for device in self.model.devices.values())
        assert in_force(self.registry) == set().union(*certificates)


@contextmanager
def machine(made: Callable[[], Registry], rule_for: str | None) -> Iterator[type[Machine]]:
    yield type("Case", (Machine,), {"made": staticmethod(made), "rule_for": rule_for})


@pytest.mark.parametrize("rule_for", [None, "n-{number}", "n-{unique_id}"])
def test_claims_in_a_file_keep_to_the_model(tmp_path: Path, rule_for: str | None) -> None:
    def made() -> Registry:
        return Registry.create(tmp_path / f"{secrets.token_hex(8)}.sqlite")

    _explore(made, rule_for, 15)


@pytest.mark.parametrize("rule_for", [None, "n-{number}", "n-{unique_id}"])
def test_claims_in_postgresql_keep_to_the_model(
    postgres_server: Server, rule_for: str | None
) -> None:
    with postgres_server.database("model") as url:
        Registry.create(url)
        _explore(lambda: _emptied(url), rule_for, 10)


def _emptied(url: str) -> Registry:
    registry = Registry.open(url)
    with registry._database.transaction() as connection:
        connection.exec_driver_sql(
            "TRUNCATE devices, runs, slots, claims, numbers, history CASCADE"
        )
    return registry


def _explore(made: Callable[[], Registry], rule_for: str | None, examples: int) -> None:
    with machine(made, rule_for) as case:
        run_state_machine_as_test(
            case,
            settings=settings(
                max_examples=examples,
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
