"""A board that has become another device: the one that it was before has no board any more.

Works within the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, select, update

from firmshake import idrule
from firmshake.registry import issuance
from firmshake.registry.fleetschema import RUNS, SLOTS
from firmshake.registry.schema import CERTIFICATES, DEVICES, HISTORY


def leave_others(connection: Connection, at: datetime, device_id: str) -> list[str]:
    """Note that the board of this device is no other; return the serial numbers that that revokes.

    The certificates that the board had as another device are revoked as superseded. Without any, a
    device is "planned" again, also in runs that have not ended. The caller has WRITE's lock.
    """
    board = select(DEVICES.c.unique_id).where(DEVICES.c.device_id == device_id)
    unique_id = connection.execute(board).scalar()
    if unique_id is None:
        return []
    same = (DEVICES.c.unique_id == unique_id, DEVICES.c.device_id != device_id)
    others = connection.execute(select(DEVICES.c.device_id).where(*same)).scalars().all()
    return [serial for other in others for serial in _left(connection, at, other, unique_id)]


def reopen(connection: Connection, at: datetime, digest: str) -> None:
    """Have a run that goes on want anew what boards have left."""
    run = select(RUNS.c.id).where(RUNS.c.digest == digest).scalar_subquery()
    left = select(DEVICES.c.device_id).where(
        DEVICES.c.state == "planned", DEVICES.c.unique_id.is_(None)
    )
    done = (SLOTS.c.run == run, SLOTS.c.status == "proved")
    _open(connection, at, *done, SLOTS.c.device_id.in_(left))


def _left(connection: Connection, at: datetime, device_id: str, unique_id: str) -> Sequence[str]:
    changed = update(DEVICES).where(DEVICES.c.device_id == device_id)
    connection.execute(changed.values(unique_id=None, changed_at=at))
    serials = _in_force(connection, device_id, unique_id)
    issuance.revoke(connection, at, serials, issuance.SUPERSEDED)
    if _in_force(connection, device_id):
        return serials  # it goes on: with its key in a file, or on a board that told no id
    fields = {"state": "planned", "verdict": None}
    connection.execute(changed.values(fields))
    connection.execute(HISTORY.insert().values(**fields, device_id=device_id, at=at))
    unfinished = SLOTS.c.run.in_(select(RUNS.c.id).where(RUNS.c.ended_at.is_(None)))
    _open(connection, at, unfinished, SLOTS.c.status != "held", SLOTS.c.device_id == device_id)
    return serials


def _in_force(
    connection: Connection, device_id: str, unique_id: str | None = None
) -> Sequence[str]:
    """The device's certificates; with `unique_id` those that were issued for that board."""
    mine = (CERTIFICATES.c.device_id == device_id, CERTIFICATES.c.revoked_at.is_(None))
    query = select(CERTIFICATES.c.serial_number).where(*mine).order_by(CERTIFICATES.c.id)
    if unique_id is not None:
        issued = exists().where(
            HISTORY.c.device_id == device_id,
            HISTORY.c.serial_number == CERTIFICATES.c.serial_number,
            HISTORY.c.unique_id == unique_id,
        )
        query = query.where(issued)
    return connection.execute(query).scalars().all()


def _open(connection: Connection, at: datetime, *which: ColumnElement[bool]) -> None:
    """Let other boards have these slots; what is named for its board gets another name then."""
    for slot in connection.execute(select(SLOTS).where(*which)).all():
        keeps = slot.wanted_unique_id or not idrule.parse(slot.id_rule).by_unique_id
        fields = {"status": "open", "unique_id": None, "changed_at": at}
        fields |= {} if keeps else {"device_id": None}
        connection.execute(update(SLOTS).where(SLOTS.c.id == slot.id).values(**fields))
