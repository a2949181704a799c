"""Certificates that were issued for a board and never written to one, and that nobody goes on with.

They are in force on no board: they are revoked. A certificate that was not issued for a board, but
with its key in a file, is none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, exists, select, update

from firmshake.registry import issuance
from firmshake.registry.delivery import LOST
from firmshake.registry.fleetrecord import RunRecord
from firmshake.registry.fleetschema import CLAIMS, RUNS, SLOTS
from firmshake.registry.schema import CERTIFICATES, DEVICES, HISTORY

# device ids, or the question for them
Devices: TypeAlias = Sequence[str] | Select[Any]

# of a device whose last certificate has reached its board
_ARRIVED = ("written", "proved")
# of one that may have been given another since
_ON_THE_WAY = ("issued", "failed")


def serials(devices: Devices, at: datetime) -> Select[Any]:
    """Return the question for the certificates of these devices that never reached a board.

    Those are left out on which a station is at work, and what has expired at that moment.
    """
    issued, later = HISTORY.alias("issued"), HISTORY.alias("later")
    same = (later.c.device_id == issued.c.device_id) & (later.c.id > issued.c.id)
    for_board = exists().where(
        issued.c.device_id == CERTIFICATES.c.device_id,
        issued.c.serial_number == CERTIFICATES.c.serial_number,
        issued.c.unique_id.is_not(None),
        ~exists().where(same, later.c.state.in_(_ARRIVED)),
    )
    query = select(CERTIFICATES.c.serial_number).where(
        CERTIFICATES.c.device_id.in_(devices),
        CERTIFICATES.c.kind == "device",
        CERTIFICATES.c.revoked_at.is_(None),
        CERTIFICATES.c.not_after > at,
        for_board,
        ~exists().where(CLAIMS.c.device_id == CERTIFICATES.c.device_id),
    )
    return query.order_by(CERTIFICATES.c.id)


def revoke(connection: Connection, at: datetime, devices: Devices) -> None:
    """Revoke them, within a transaction that has WRITE's lock."""
    found = connection.execute(serials(devices, at)).scalars()
    issuance.revoke(connection, at, list(found), LOST)


def of_runs(runs: Sequence[int]) -> Select[Any]:
    """Return the question for the devices of runs that may have a certificate on its way."""
    return select(SLOTS.c.device_id).where(
        SLOTS.c.run.in_(runs),
        DEVICES.c.device_id == SLOTS.c.device_id,
        DEVICES.c.state.in_(_ON_THE_WAY),
    )


def given_up(runs: Sequence[int], unfinished: Sequence[int]) -> Select[Any]:
    """Return the question for those of them that no run wants which has not ended."""
    other = SLOTS.alias("other")
    # by the runs' numbers: else SQLite reads all slots for each of these
    theirs = (other.c.run.in_(unfinished), other.c.device_id == SLOTS.c.device_id)
    return of_runs(runs).where(~exists().where(*theirs))


def end(connection: Connection, at: datetime, run: int) -> None:
    """Note that a run is over: what is at work in it is left, and looked at when it is done."""
    _note(connection, at, [run])
    revoke(connection, at, of_runs([run]))


def replaced(connection: Connection, by: RunRecord) -> list[int]:
    """Return the runs that have not ended of what this run's manifest was before it was edited."""
    same = (RUNS.c.manifest == by.manifest, RUNS.c.id != by.id, RUNS.c.ended_at.is_(None))
    return list(connection.execute(select(RUNS.c.id).where(*same).order_by(RUNS.c.id)).scalars())


def replace(connection: Connection, at: datetime, runs: Sequence[int]) -> None:
    """Note that these runs are over, of whose devices others may be wanted still."""
    _note(connection, at, runs)
    unfinished = list(
        connection.execute(select(RUNS.c.id).where(RUNS.c.ended_at.is_(None))).scalars()
    )
    revoke(connection, at, given_up(runs, unfinished))


def released(connection: Connection, at: datetime, devices: Sequence[str], runs: set[int]) -> None:
    """Look at devices whose claims in these runs were given back: a run may be over meanwhile."""
    over = select(RUNS.c.id).where(RUNS.c.id.in_(runs), RUNS.c.ended_at.is_not(None))
    ended = list(connection.execute(over).scalars())
    if ended:
        revoke(connection, at, of_runs(ended).where(SLOTS.c.device_id.in_(devices)))


def _note(connection: Connection, at: datetime, runs: Sequence[int]) -> None:
    mine = update(RUNS).where(RUNS.c.id.in_(runs), RUNS.c.ended_at.is_(None))
    connection.execute(mine.values(ended_at=at))
