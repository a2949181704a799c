"""No certificate stays in force that is on no board and that nobody goes on with."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from support import claimants
from support.boardtools import wait_until
from support.claiming import DAY_S, ISSUING, ask, finish, got, in_force, issue, plan

from firmshake.ca import certificate as certificates
from firmshake.errors import Error
from firmshake.fleet.planned import Planned
from firmshake.registry import Claim, Registry, RunRecord, sqlitefile
from firmshake.registry.reconcile import Reconciliation


def reasons(registry: Registry) -> dict[str, str | None]:
    return {row.serial_number: row.reason for row in registry.revoked()}


def checked(registry: Registry) -> None:
    """Log and rows tell the same."""
    found: list[str] = []
    Reconciliation(registry, found.append).walk()
    assert [words for words in found if not words.startswith("no CA")] == []


# a slot that is passed on

RUNS: dict[str, Callable[[Registry], RunRecord]] = {
    "manifest": lambda registry: plan(registry, Planned("gh-{unique_id}")),
    "rule": lambda registry: registry.open_run("n", "gh-{unique_id}", 1),
}


@pytest.mark.parametrize("kind", RUNS)
def test_what_a_board_that_was_pulled_for_good_never_got_is_revoked(
    registry: Registry, kind: str
) -> None:
    run = RUNS[kind](registry)
    pulled = got(ask(registry, run, "a"))
    first, second = issue(registry, pulled), issue(registry, pulled)
    registry.release(pulled, "open")
    assert in_force(registry) == {first, second}
    instead = got(ask(registry, run, "b"))
    assert (pulled.device_id, instead.device_id) == ("gh-a", "gh-b")
    assert reasons(registry) == dict.fromkeys((first, second), "cessationOfOperation")
    finish(registry, instead, "proved")
    registry.end_run(run.id)
    proved = [one for one in registry.devices() if one.state == "proved"]
    assert in_force(registry) == {one.certificate.serial_number for one in proved}
    checked(registry)


@pytest.mark.parametrize("kind", RUNS)
def test_what_is_on_the_board_that_has_failed_stays_in_force(registry: Registry, kind: str) -> None:
    run = RUNS[kind](registry)
    failed = got(ask(registry, run, "a"))
    on_board = issue(registry, failed)
    known = {"unique_id": "a", "token": failed.token}
    registry.set_state(failed.device_id, "written", serial_number=on_board, **known)
    registry.set_state(failed.device_id, "failed", "tls/expired", **known)
    later = issue(registry, failed)
    registry.set_state(failed.device_id, "failed", "write", **known)
    registry.release(failed, "failed")
    got(ask(registry, run, "b"))
    assert (in_force(registry), set(reasons(registry))) == ({on_board}, {later})


def test_the_first_board_comes_back_to_its_own_slot(registry: Registry) -> None:
    run = RUNS["rule"](registry)
    for board in "abab":
        claim = got(ask(registry, run, board))
        assert claim.device_id == f"gh-{board}"
        last = issue(registry, claim)
        registry.release(claim, "open")
    assert in_force(registry) == {last}
    checked(registry)


def test_a_key_in_a_file_is_none_of_a_board(registry: Registry) -> None:
    """`firmshake ca issue` makes such: it may be in use, although nothing was written."""
    made = ISSUING.issue("gh-a", now=datetime.now(UTC)).certificate
    registry.record_issued("gh-a", made)
    run = RUNS["manifest"](registry)
    registry.release(got(ask(registry, run, "a")), "open")
    assert got(ask(registry, run, "b")).device_id == "gh-b"
    registry.end_run(run.id)
    assert in_force(registry) == {certificates.serial(made)}


def test_numbers_and_revocations_at_once_do_not_stand_in_each_others_way(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots are passed on, issued for and given back by eight at a time; the log is one chain."""
    monkeypatch.setattr(sqlitefile, "WAIT_S", claimants.LIMIT_S)
    registry = Registry.create(place)
    runs = [registry.open_run("n", "gh-{unique_id}", 4), registry.open_run("m", "p-{number}", 16)]

    def work(part: int) -> None:
        for turn in range(6):
            for run in runs:
                claim = ask(registry, run, f"{part}{turn}", station=f"s{part}")
                if isinstance(claim, Claim):
                    issue(registry, claim)
                    registry.release(claim, "open")
        registry.drop_session(f"s{part}")

    with ThreadPoolExecutor(8) as eight:
        list(eight.map(work, range(8)))
    for run in runs:
        registry.end_run(run.id)
    assert in_force(registry) == set()
    checked(registry)


# the end of a run


def test_the_end_of_a_run_leaves_nothing_on_its_way(registry: Registry) -> None:
    run = registry.open_run("n", "gh-{unique_id}", None)
    ways: dict[str, Callable[[Claim], None]] = {
        "proved": lambda claim: finish(registry, claim, "proved"),
        "failed": lambda claim: finish(registry, claim, "failed"),
        "gone": lambda claim: registry.release(claim, "open"),
        "broken": lambda claim: registry.release(claim, "failed"),
    }
    issued = {}
    for board, way in ways.items():
        claim = got(ask(registry, run, board))
        issued[board] = issue(registry, claim)
        way(claim)
    registry.end_run(run.id)
    assert {issued["gone"], issued["broken"]} <= reasons(registry).keys()
    assert in_force(registry) == {
        one.certificate.serial_number
        for one in registry.devices()
        if one.certificate and one.device_id in ("gh-proved", "gh-failed")
    }
    registry.end_run(run.id)
    checked(registry)


@pytest.mark.parametrize("end", ["release", "drop", "expire"])
def test_what_a_station_is_at_work_on_is_looked_at_when_it_is_given_back(
    registry: Registry, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = registry.open_run("n", "gh-{unique_id}", None)
    claims = [got(ask(registry, run, board, station="west")) for board in "ab"]
    serials = [issue(registry, claim) for claim in claims]
    registry.end_run(run.id)
    # both may still be written
    assert in_force(registry) == set(serials)
    registry.set_state("gh-a", "written", unique_id="a", token=claims[0].token)
    if end == "release":
        registry.release(claims[0], "failed")
        registry.release(claims[1], "open")
    elif end == "drop":
        registry.drop_session("west")
    else:
        later = datetime.now(UTC).timestamp() + 100 * DAY_S
        monkeypatch.setattr(registry._database, "clock", lambda *_: later)
        ask(registry, run, "c")
    assert (in_force(registry), set(reasons(registry))) == ({serials[0]}, {serials[1]})
    checked(registry)


def test_a_run_that_goes_on_keeps_what_is_on_its_way(registry: Registry) -> None:
    """A board may have got it, although nobody lived to note that."""
    run = RUNS["manifest"](registry)
    claim = got(ask(registry, run, "a"))
    serial = issue(registry, claim)
    registry.release(claim, "open")
    registry.drop_session("bench-1")
    assert in_force(registry) == {serial}


# an edited manifest


def test_an_edited_manifest_ends_what_it_was_before(registry: Registry) -> None:
    elsewhere = plan(registry, Planned("x"), path="autumn.csv")
    bench = registry.open_run("n", "gh-{unique_id}", None)
    before = registry.plan("spring", "d1", "spring.csv", [Planned("x"), Planned("y")])
    after = registry.plan("spring", "d2", "spring.csv", [Planned("y")])
    ended = {run.id for run in registry.runs() if run.ended_at is not None}
    assert ended == {before.id}
    assert registry.last_run() == after
    # and the other way round, where the edit is taken back
    back = registry.plan("spring", "d1", "spring.csv", [])
    assert back == before
    assert {run.id for run in registry.runs() if run.ended_at is None} == {
        elsewhere.id,
        bench.id,
        before.id,
    }


def test_what_an_edited_manifest_does_not_want_is_revoked_if_no_board_has_it(
    registry: Registry,
) -> None:
    names = ("wanted", "elsewhere", "gone", "at-work", "on-board")
    run = plan(registry, *(Planned(name, unique_id=f"u-{name}") for name in names))
    plan(registry, Planned("elsewhere"), path="autumn.csv")
    claims = {name: got(ask(registry, run, f"u-{name}", station=name)) for name in names}
    serials = {name: issue(registry, claim) for name, claim in claims.items()}
    registry.set_state("on-board", "written", token=claims["on-board"].token)
    for name in names:
        if name != "at-work":
            registry.release(claims[name], "open")
    plan(registry, Planned("wanted"), Planned("new"))
    assert reasons(registry) == {serials["gone"]: "cessationOfOperation"}
    registry.release(claims["at-work"], "open")
    assert set(reasons(registry)) == {serials["gone"], serials["at-work"]}
    checked(registry)


# a database that is busy


def test_what_two_transactions_wait_for_in_a_ring_is_done_again(postgres_url: str) -> None:
    """The other one has the device and then wants the claim; ours takes them the other way."""
    # whoever begins to wait last finds the ring, and at once
    registry = Registry.create(f"{postgres_url}&options=-c%20deadlock_timeout%3D10ms")
    claim = got(ask(registry, plan(registry, Planned("pump-1")), "u1"))
    has_the_claim = threading.Event()
    troubles: list[Error] = []

    def until_the_other_waits(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("INSERT INTO devices") or has_the_claim.is_set():
            return
        has_the_claim.set()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with psycopg.connect(postgres_url, autocommit=True) as watch:
            wait_until(lambda: watch.execute(waiting).fetchone() is not None)

    def work() -> None:
        try:
            registry.set_state("pump-1", "failed", "tcp/refused", token=claim.token)
        except Error as error:
            troubles.append(error)

    engine = registry._database._engine
    event.listen(engine, "before_cursor_execute", until_the_other_waits)
    with psycopg.connect(postgres_url) as other:
        # so ours is the one that the server gives up
        other.execute("SET deadlock_timeout = '10min'")
        other.execute("SELECT 1 FROM devices WHERE device_id = 'pump-1' FOR UPDATE")
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert has_the_claim.wait(60)
        other.execute("SELECT 1 FROM claims WHERE device_id = 'pump-1' FOR UPDATE")
        # it was given up, or there would be no answer
        other.commit()
    thread.join()
    assert troubles == []
    assert (row := registry.device("pump-1"))
    assert (row.state, row.verdict) == ("failed", "tcp/refused")
    assert len(registry.history("pump-1")) == 2


def test_a_broken_statement_is_no_matter_of_time(registry: Registry) -> None:
    with registry._database.transaction() as connection:
        connection.execute(text("DROP TABLE diagnoses"))
    with pytest.raises(Error) as caught:
        registry.diagnoses()
    assert type(caught.value) is Error
