"""Leases: a station's word that it is at work on a device and a board, for as long as it renews it.

Each has a token. What has expired is free: whoever comes next takes it, and from then on the old
token changes nothing. Every function works within the transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, delete, select, update

from firmshake.registry import unwritten
from firmshake.registry.fleetrecord import Claim, ClaimLost, SlotStatus
from firmshake.registry.fleetschema import CLAIMS, SLOTS
from firmshake.registry.schema import DEVICES


def check(connection: Connection, device_id: str, token: str | None) -> None:
    """Raise ClaimLost where a token was given and the claim on that device is not its own.

    The claim stays as it is until the transaction ends.
    """
    if token is None:
        return
    mine = select(CLAIMS.c.token).where(CLAIMS.c.device_id == device_id).with_for_update()
    if connection.execute(mine).scalar() != token:
        raise ClaimLost(
            f"the claim on {device_id} has expired, and another may be at work on it",
            hint="nothing was changed; plug the board in again",
        )


def expired(seconds: float, session: str, unique_id: str) -> ColumnElement[bool]:
    """Return the condition that a claim has expired, for a session that asks for a board.

    What that session holds itself stays, of other boards: it has only slept, or the clock was set.
    """
    not_mine = (CLAIMS.c.session != session) | (CLAIMS.c.unique_id == unique_id)
    return (CLAIMS.c.expires_at <= seconds) & not_mine


def drop(connection: Connection, at: datetime, which: ColumnElement[bool]) -> None:
    """Free these claims, with WRITE's lock; one that another process is at work on is left to it.

    What was never written of a run that is over is revoked.
    """
    query = select(CLAIMS.c.device_id, CLAIMS.c.slot, CLAIMS.c.run).where(which)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    if not rows:
        return
    devices = [row.device_id for row in rows]
    # Before the claims are gone: whoever has locked such a slot finds its claim still there, and
    # lets go. Else each would wait for the other
    _reopen(connection, at, [row.slot for row in rows])
    connection.execute(delete(CLAIMS).where(CLAIMS.c.device_id.in_(devices)))
    unwritten.released(connection, at, devices, {row.run for row in rows})


def end(connection: Connection, at: datetime, claim: Claim, status: SlotStatus) -> None:
    """Take a claim away that was found to be good, and note how its slot stands.

    Needs WRITE's lock, unless it is "proved".
    """
    if status == "open":
        _reopen(connection, at, [claim.slot])
    else:
        slot = update(SLOTS).where(SLOTS.c.id == claim.slot)
        connection.execute(slot.values(status=status, changed_at=at))
    mine = CLAIMS.c.device_id == claim.device_id
    run = connection.execute(delete(CLAIMS).where(mine).returning(CLAIMS.c.run)).scalar_one()
    if status != "proved":
        unwritten.released(connection, at, [claim.device_id], {run})


def _reopen(connection: Connection, at: datetime, slots: Sequence[int]) -> None:
    """What was proved before anybody claimed it, and was not written to since, still is."""
    proved = select(DEVICES.c.state == "proved").where(DEVICES.c.device_id == SLOTS.c.device_id)
    status = case((proved.scalar_subquery(), "proved"), else_="open")
    held = SLOTS.c.id.in_(slots) & (SLOTS.c.status == "held")
    connection.execute(update(SLOTS).where(held).values(status=status, changed_at=at))


def live(connection: Connection, which: ColumnElement[bool], seconds: float, session: str) -> Any:
    """Return the row of a claim that has not expired, or that is this session's own; or None."""
    good = (CLAIMS.c.expires_at > seconds) | (CLAIMS.c.session == session)
    return connection.execute(select(CLAIMS).where(which, good)).first()
