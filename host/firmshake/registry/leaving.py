"""A board that has become another device: the one that it was before has no board any more.

Works within the transaction of its caller, which has WRITE's lock.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from firmshake.registry import issuance
from firmshake.registry.fleetschema import RUNS, SLOTS
from firmshake.registry.schema import CERTIFICATES, DEVICES, HISTORY


def leave_others(connection: Connection, at: datetime, device_id: str) -> list[str]:
    """Note that the board of this device is no other; return the serial numbers that that revokes.

    What it was before is "planned" again, also in runs that have not ended, and the certificates
    that it had as that are revoked as superseded: they were on this board, and are not any more.
    """
    board = select(DEVICES.c.unique_id).where(DEVICES.c.device_id == device_id)
    unique_id = connection.execute(board).scalar()
    if unique_id is None:
        return []
    same = (DEVICES.c.unique_id == unique_id, DEVICES.c.device_id != device_id)
    others = connection.execute(select(DEVICES.c.device_id).where(*same)).scalars().all()
    return [serial for other in others for serial in _left(connection, at, other)]


def _left(connection: Connection, at: datetime, device_id: str) -> list[str]:
    fields = {"state": "planned", "verdict": None}
    mine = update(DEVICES).where(DEVICES.c.device_id == device_id)
    connection.execute(mine.values(**fields, unique_id=None, changed_at=at))
    connection.execute(HISTORY.insert().values(**fields, device_id=device_id, at=at))
    unfinished = select(RUNS.c.id).where(RUNS.c.ended_at.is_(None))
    done = (SLOTS.c.device_id == device_id, SLOTS.c.status == "proved")
    slots = update(SLOTS).where(SLOTS.c.run.in_(unfinished), *done)
    connection.execute(slots.values(status="open", unique_id=None, changed_at=at))
    return _revoked(connection, at, device_id)


def _revoked(connection: Connection, at: datetime, device_id: str) -> list[str]:
    in_force = select(CERTIFICATES.c.serial_number).where(
        CERTIFICATES.c.device_id == device_id, CERTIFICATES.c.revoked_at.is_(None)
    )
    serials = list(connection.execute(in_force.order_by(CERTIFICATES.c.id)).scalars())
    issuance.revoke(connection, at, serials, issuance.SUPERSEDED)
    return serials
