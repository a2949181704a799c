"""How far a fleet has come, counted along indexes: no question here reads a table through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Executable, Select, func, select

from firmshake.registry.fleetrecord import SLOT_STATUSES, Status
from firmshake.registry.fleetschema import CLAIMS, SLOTS
from firmshake.registry.record import change_of
from firmshake.registry.schema import DEVICES, HISTORY, STATES

_LAST_CHANGES = 20


def status(connection: Connection, seconds: float, run: int | None) -> Status:
    """Return how far a run has come, or all of them; `seconds` is the database's time."""
    last = connection.execute(last_changes()).mappings()
    return Status(
        devices=_counted(connection, devices_by_state()),
        slots=_counted(connection, slots_by_status(run)),
        verdicts=_by_number(_counted(connection, failures_by_verdict(run))),
        stations=_counted(connection, claims_by_station(seconds, run)),
        changes=[change_of(row) for row in last],
    )


def slots(connection: Connection, run: int) -> Mapping[str, int]:
    """Return how many slots of a run have each status."""
    return _counted(connection, slots_by_status(run))


def queries(run: int | None) -> Iterator[Executable]:
    """Yield what `status` asks, for whoever wants to know how the database answers it."""
    yield from (devices_by_state(), slots_by_status(run), failures_by_verdict(run))
    yield from (claims_by_station(0.0, run), last_changes())


def devices_by_state() -> Select[Any, int]:
    """Return the question how many devices are in each state."""
    state = DEVICES.c.state
    return select(state, func.count()).where(state.in_(STATES)).group_by(state)


def slots_by_status(run: int | None) -> Select[Any, int]:
    """Return the question how many slots have each status."""
    status = SLOTS.c.status
    which = SLOTS.c.run > 0 if run is None else SLOTS.c.run == run
    query = select(status, func.count()).where(which, status.in_(SLOT_STATUSES))
    return query.group_by(status)


def failures_by_verdict(run: int | None) -> Select[Any, int]:
    """Return the question how many devices have failed with each verdict."""
    verdict = func.coalesce(DEVICES.c.verdict, "")
    query = select(verdict, func.count()).where(DEVICES.c.state == "failed")
    if run is not None:
        query = query.where(
            SLOTS.c.device_id == DEVICES.c.device_id,
            SLOTS.c.run == run,
            SLOTS.c.status == "failed",
        )
    return query.group_by(verdict)


def claims_by_station(seconds: float, run: int | None) -> Select[Any, int]:
    """Return the question how many claims of each station live."""
    query = select(CLAIMS.c.station, func.count()).where(CLAIMS.c.expires_at > seconds)
    if run is not None:
        query = query.where(CLAIMS.c.run == run)
    return query.group_by(CLAIMS.c.station)


def last_changes() -> Select[Any]:
    """Return the question what has changed last, the newest first."""
    # the condition holds for every row; it has SQLite say that it searches
    rows = select(HISTORY).where(HISTORY.c.id > 0)
    return rows.order_by(HISTORY.c.id.desc()).limit(_LAST_CHANGES)


def _counted(connection: Connection, query: Select[Any, int]) -> Mapping[str, int]:
    return {str(row[0]): int(row[1]) for row in connection.execute(query)}


def _by_number(counts: Mapping[str, int]) -> Mapping[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
