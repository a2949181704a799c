"""Binds a board to the slot that was chosen for it, and puts both under a lease.

Works within the transaction of its caller.
"""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Row, select, update

from firmshake.registry import unwritten
from firmshake.registry.database import insert
from firmshake.registry.fleetasking import Asking, Taken, Unordered
from firmshake.registry.fleetrecord import Claim
from firmshake.registry.fleetschema import CLAIMS, SLOTS
from firmshake.registry.schema import DEVICES, HISTORY


def bind(connection: Connection, asking: Asking, slot: Row[Any], device_id: str) -> Claim:
    """Return the claim. Raises Taken or Unordered where nothing of the transaction is to stay."""
    bound = {"device_id": device_id, "unique_id": asking.unique_id, "status": "held"}
    changed = update(SLOTS).where(SLOTS.c.id == slot.id).values(**bound, changed_at=asking.now)
    connection.execute(changed)
    if slot.device_id not in (None, device_id):
        _leave(connection, asking, slot.device_id)
    _plan_device(connection, asking, device_id)
    token = secrets.token_hex(16)
    row = {"device_id": device_id, "unique_id": asking.unique_id, "slot": slot.id}
    row |= {"run": asking.run, "station": asking.station, "session": asking.session}
    row |= {"token": token, "expires_at": asking.seconds + asking.lease_s}
    put = insert(connection, CLAIMS).values(row).on_conflict_do_nothing()
    if connection.execute(put.returning(CLAIMS.c.token)).scalar() is None:
        raise Taken
    query = select(DEVICES.c.state).where(DEVICES.c.device_id == device_id)
    state = connection.execute(query).scalar_one()
    return Claim(device_id, asking.unique_id, token, slot.id, slot.line, slot.profile, state)


def _leave(connection: Connection, asking: Asking, device_id: str) -> None:
    """Nobody goes on with that device: what its board was to get and has not got is revoked."""
    if asking.ordered:
        unwritten.revoke(connection, asking.now, [device_id])
    elif connection.execute(unwritten.serials([device_id], asking.now)).first() is not None:
        raise Unordered


def _plan_device(connection: Connection, asking: Asking, device_id: str) -> None:
    """Have a row for the device, so that nobody else gives its id."""
    row: dict[str, Any] = {"device_id": device_id, "state": "planned"}
    row |= {"created_at": asking.now, "changed_at": asking.now}
    put = insert(connection, DEVICES).values(row).on_conflict_do_nothing()
    if connection.execute(put.returning(DEVICES.c.device_id)).scalar() is not None:
        change = {"at": asking.now, "device_id": device_id, "state": "planned"}
        connection.execute(HISTORY.insert().values(change))
