"""What the registry keeps of a fleet's runs: what is wanted, who is at work on it, what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from firmshake import idrule
from firmshake.registry import (
    claims,
    fleetclaim,
    fleetkinds,
    fleetplan,
    fleetreport,
    fleetstatus,
    leaving,
    numbering,
    unwritten,
)
from firmshake.registry.database import CLAIM, READ, WRITE, Conflict, Database, repeated
from firmshake.registry.fleetasking import Asking, Refused, Taken, Unordered
from firmshake.registry.fleetrecord import (
    Claim,
    Diagnosis,
    Refusal,
    RunDevice,
    RunRecord,
    SlotRecord,
    SlotStatus,
    Status,
)
from firmshake.registry.fleetschema import CLAIMS, DIAGNOSES, RUNS, SLOTS

if TYPE_CHECKING:
    from firmshake.fleet.planned import Planned

# how often the rules of a claim are gone through where others are quicker each time
_TRIES = 50


class Fleet:
    """The part of `Registry` that knows of runs."""

    _database: Database
    _clock: Callable[[], datetime]

    def plan(self, name: str, digest: str, manifest: str, planned: Iterable[Planned]) -> RunRecord:
        """Make the run of a manifest, which is told by its digest, or return the one there is.

        One that has ended goes on. Devices with a fixed id are in state "planned" then, unless
        they were known; the slot of one that is proved, with its certificate in force, is proved.
        Raises Error, with nothing changed, where two have the same id.

        `manifest` is its path. Other runs of that path have ended then: it was edited. What was
        issued for their devices and never written is revoked, where no run wants them any more.
        """
        now = self._clock()
        row = {"name": name, "digest": digest, "manifest": manifest, "slots": 0, "created_at": now}
        with self._database.transaction(CLAIM) as connection:
            number = fleetplan.made(connection, **row)
            if number:
                count = fleetplan.put(self._database, connection, number, planned, now)
                values: dict[str, object] = {"slots": count, "wanted": count}
            else:
                values = {"ended_at": None, "manifest": manifest}
                leaving.reopen(connection, now, digest)
            changed = update(RUNS).where(RUNS.c.digest == digest).values(values)
            connection.execute(changed)
            planned_run = fleetreport.run_of(connection, RUNS.c.digest == digest)
            before = unwritten.replaced(connection, planned_run)
        # by itself: nobody else can write to the log meanwhile, and a plan may take long
        if before:
            self._replace(before)
        return planned_run

    def open_run(self, name: str, rule: str, wanted: int | None) -> RunRecord:
        """Make a run without a manifest, whose slots are made as boards come.

        `wanted` None is a run without end. Raises Error where the rule makes no device ids.
        """
        idrule.parse(rule).check(numbering.LAST_NUMBER)
        row = {"name": name, "wanted": wanted, "rule": rule, "slots": 0}
        with self._database.transaction(CLAIM) as connection:
            number = fleetplan.made(connection, **row, created_at=self._clock())
            return fleetreport.run_of(connection, RUNS.c.id == number)

    def run(self, number: int) -> RunRecord:
        """Return the run of that number; raise Error where there is none."""
        with self._database.transaction(READ) as connection:
            return fleetreport.run_of(connection, RUNS.c.id == number)

    def runs(self) -> list[RunRecord]:
        """Return all runs, the oldest first."""
        with self._database.transaction(READ) as connection:
            return fleetreport.runs(connection)

    def last_run(self, unfinished: bool = True) -> RunRecord | None:
        """Return the run that was begun last, of those only that have not ended, or None."""
        every = [run for run in self.runs() if run.ended_at is None or not unfinished]
        return every[-1] if every else None

    @repeated
    def end_run(self, number: int) -> None:
        """Note that a run is over.

        What was issued for its devices and never written is revoked; of those that a station is at
        work on, once it gives them back.
        """
        with self._database.transaction(WRITE) as connection:
            unwritten.end(connection, self._clock(), number)

    @repeated
    def reopen(self, number: int) -> None:
        """Let what has failed in a run be tried again."""
        with self._database.transaction(CLAIM) as connection:
            failed = update(SLOTS).where(SLOTS.c.run == number, SLOTS.c.status == "failed")
            connection.execute(failed.values(status="open", changed_at=self._clock()))

    def claim(
        self,
        run: int,
        *,
        unique_id: str,
        boards: Sequence[str],
        station: str,
        session: str,
        lease_s: float,
    ) -> Claim | Refusal:
        """Return what a board is to become in a run, under a lease, or why it gets nothing.

        `boards` are the names of the table of boards that it may be. `session` is one process of
        the station. Raises Error where its rule makes no device id.
        """
        who = (run, unique_id, tuple(boards), station, session, lease_s)
        mode = CLAIM
        for _ in range(_TRIES):
            try:
                seconds = self._expire(session, unique_id)
                asking = Asking(*who, self._clock(), seconds, ordered=mode is WRITE)
                with self._database.transaction(mode) as connection:
                    return fleetclaim.claim(connection, asking)
            except Unordered:
                mode = WRITE
            except (Taken, Conflict):
                continue
            except Refused as error:
                return error.refusal
        return Refusal("busy", f"other stations ask for {unique_id} at the same moment")

    @repeated
    def unwanted(self, run: int, *, boards: Sequence[str], session: str) -> Refusal | None:
        """Return None where a run may want a board that can't tell its id, or why it does not.

        `boards` and `session` are as in `claim`.
        """
        answer = self._unwanted(run, boards)
        if answer is not None and answer.reason == "busy":
            # by a station that is dead, perhaps; no board has the id ""
            self._expire(session, "")
            answer = self._unwanted(run, boards)
        return answer

    @repeated
    def renew(self, session: str, lease_s: float, tokens: Sequence[str]) -> None:
        """Renew these claims of a session of a station; what it has lost stays lost."""
        with self._database.transaction(CLAIM) as connection:
            until = self._database.clock(connection, self._clock()) + lease_s
            mine = update(CLAIMS).where(CLAIMS.c.session == session, CLAIMS.c.token.in_(tokens))
            connection.execute(mine.values(expires_at=until))

    @repeated
    def drop_session(self, session: str) -> None:
        """Free all claims of a session of a station: it is over."""
        with self._database.transaction(WRITE) as connection:
            claims.drop(connection, self._clock(), CLAIMS.c.session == session)

    @repeated
    def release(self, claim: Claim, status: SlotStatus) -> None:
        """Give a claim back: its slot is "proved" or "failed", or "open" for another try.

        With "open" it is "proved" where its device is still. Raises ClaimLost, with nothing
        changed, where the claim has gone.
        """
        now = self._clock()
        # only what may revoke has to wait for the log
        with self._database.transaction(CLAIM if status == "proved" else WRITE) as connection:
            claims.check(connection, claim.device_id, claim.token)
            claims.end(connection, now, claim, status)

    def status(self, run: int | None = None) -> Status:
        """Return how far a run has come, or all of them."""
        with self._database.transaction(READ) as connection:
            seconds = self._database.clock(connection, self._clock())
            return fleetstatus.status(connection, seconds, run)

    def slots(self, run: int) -> Mapping[str, int]:
        """Return how many slots of a run have each status, of which only those that occur."""
        with self._database.transaction(READ) as connection:
            return fleetstatus.slots(connection, run)

    def missing(self, run: int, most: int) -> list[SlotRecord]:
        """Return that many slots of a run, at most, that nobody has taken, in its own order."""
        with self._database.transaction(READ) as connection:
            return fleetreport.missing(connection, run, most)

    def devices_of(self, run: int) -> Iterator[RunDevice]:
        """Yield what a run wants, in the manifest's order, and what became of it."""
        after = 0
        while True:
            with self._database.transaction(READ) as connection:
                page = fleetreport.page(connection, run, after)
            if not page:
                return
            yield from page
            after = page[-1].slot.id

    def put_diagnosis(self, diagnosis: Diagnosis) -> None:
        """Keep the last verdict that a board has published, in place of the one before.

        Raises Error where the device is not known.
        """
        with self._database.transaction(CLAIM) as connection:
            fleetreport.put_diagnosis(connection, diagnosis)

    def put_diagnoses(self, diagnoses: Sequence[Diagnosis]) -> set[str]:
        """Keep the last verdicts of boards, one each, at once.

        Returns the ids of the devices that are not known, of which nothing is kept.
        """
        with self._database.transaction(CLAIM) as connection:
            return fleetreport.put_diagnoses(connection, diagnoses)

    def diagnoses(self) -> list[Diagnosis]:
        """Return the last verdict of each board that has published one, by device id."""
        query = select(DIAGNOSES).order_by(DIAGNOSES.c.device_id)
        with self._database.transaction(READ) as connection:
            return [Diagnosis(**row) for row in connection.execute(query).mappings()]

    def failing_stages(self) -> Mapping[str, int]:
        """Return how many boards have failed last in each stage, the most frequent first."""
        query = (
            select(DIAGNOSES.c.stage, func.count())
            .where(DIAGNOSES.c.verdict != "ready")
            .group_by(DIAGNOSES.c.stage)
            .order_by(func.count().desc(), DIAGNOSES.c.stage)
        )
        with self._database.transaction(READ) as connection:
            return {row.stage: int(row[1]) for row in connection.execute(query)}

    def _unwanted(self, run: int, boards: Sequence[str]) -> Refusal | None:
        with self._database.transaction(READ) as connection:
            return fleetkinds.refusal(connection, run, boards)

    def _expire(self, session: str, unique_id: str) -> float:
        """Free what has expired, and return the database's time; where nothing has, only look."""
        with self._database.transaction(READ) as connection:
            seconds = self._database.clock(connection, self._clock())
            old = claims.expired(seconds, session, unique_id)
            if connection.execute(select(CLAIMS.c.device_id).where(old).limit(1)).first() is None:
                return seconds
        with self._database.transaction(WRITE) as connection:
            claims.drop(connection, self._clock(), old)
        return seconds

    @repeated
    def _replace(self, runs: Sequence[int]) -> None:
        with self._database.transaction(WRITE) as connection:
            unwritten.replace(connection, self._clock(), runs)
