"""Which device a board is to become: the rules of a claim, within the transaction of their caller.

On PostgreSQL many stations ask at once: each locks the row that it takes, and looks past those that
others have locked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, exists, or_, select, update

from firmshake import idrule
from firmshake.registry import claims, fleetbind, numbering
from firmshake.registry.fleetasking import Asking, Refused, Unordered
from firmshake.registry.fleetrecord import Claim, Refusal
from firmshake.registry.fleetschema import CLAIMS, RUNS, SLOTS
from firmshake.registry.record import proved_devices
from firmshake.registry.schema import DEVICES

_S = SLOTS.c


# of a device whose identity is on a board
_ON_BOARD = ("written", "proved")

# of a run by a rule, that it makes more slots
ROOM = or_(RUNS.c.wanted.is_(None), RUNS.c.slots < RUNS.c.wanted)
# of a slot, that no run is at work on its device
UNCLAIMED = ~exists().where(CLAIMS.c.device_id == _S.device_id)

# a slot, with the id of the device that the board is to become
_Choice = tuple[Row[Any], str]


def claim(connection: Connection, asking: Asking) -> Claim | Refusal:
    """Return what the board is to become, bound to it and under a lease, or why it gets nothing.

    Raises Taken, Unordered or Refused where nothing of the transaction is to stay.
    """
    held = _live(connection, asking, CLAIMS.c.unique_id == asking.unique_id)
    if held is not None:
        return _busy(f"the board {asking.unique_id}", held)
    chosen = _choose(connection, asking)
    return chosen if isinstance(chosen, Refusal) else fleetbind.bind(connection, asking, *chosen)


def _choose(connection: Connection, asking: Asking) -> _Choice | Refusal:
    mine = _mine(connection, asking)
    if mine is not None:
        if mine.board is not None and mine.board not in asking.boards:
            name = mine.device_id or mine.id_rule
            return Refusal("wrong_board", f"{name} is to be a board of the kind {mine.board}")
        return _filled(connection, asking, mine)
    own = _own(connection, asking)
    slot = _slot_of(connection, asking, own) if own else None
    if slot is not None and own is not None:
        return slot, own
    rule = connection.execute(select(RUNS.c.rule).where(RUNS.c.id == asking.run)).scalar()
    if rule is not None and _counted(connection, asking):
        return _made(connection, asking, rule, own)
    proved = _proved(connection, asking) if rule is None else None
    if proved is not None:
        how = "to make it another device, name its unique id in the manifest"
        return Refusal("other_device", f"it is {proved} already, and stays that: {how}")
    slot = _free(connection, asking) or _given_up(connection, asking)
    if slot is None:
        return _refusal(connection, asking, rule)
    return (slot, own) if own and rule is not None else _filled(connection, asking, slot)


def _mine(connection: Connection, asking: Asking) -> Row[Any] | None:
    """The slot that wants this board, or that it has, or had last."""
    for which in (_S.wanted_unique_id == asking.unique_id, _S.unique_id == asking.unique_id):
        query = select(SLOTS).where(_S.run == asking.run, which).order_by(_S.id).limit(1)
        row = connection.execute(query.with_for_update()).first()
        if row is not None:
            return row
    return None


def _filled(connection: Connection, asking: Asking, slot: Row[Any]) -> _Choice | Refusal:
    """The slot with its device's id, which is not to be another board's."""
    passed_on = slot.unique_id not in (None, asking.unique_id)
    device_id = slot.device_id
    if device_id is None or (passed_on and idrule.parse(slot.id_rule).by_unique_id):
        device_id = _named(connection, asking, slot.id_rule)
    # what a board had that failed is this one's now: only what was proved since is not
    states = ("proved",) if slot.unique_id else _ON_BOARD
    return _conflict(connection, asking, device_id, states) or (slot, device_id)


def _named(connection: Connection, asking: Asking, rule: str) -> str:
    """The device id that a rule gives to the board."""
    if idrule.parse(rule).numbered and not asking.ordered:
        raise Unordered
    return numbering.fill(connection, rule, asking.unique_id)


def _conflict(
    connection: Connection, asking: Asking, device_id: str, states: Sequence[str]
) -> Refusal | None:
    """Why the board can't be that device: another station is at work on it, or it is another's."""
    held = _live(connection, asking, CLAIMS.c.device_id == device_id)
    if held is not None:
        return _busy(device_id, held)
    query = select(DEVICES.c.unique_id).where(_elsewhere(asking, device_id, states))
    other = connection.execute(query).scalar()
    return _other(device_id, other) if other else None


def _own(connection: Connection, asking: Asking) -> str | None:
    """The device that the board is already, unless that is being given to another."""
    query = (
        select(DEVICES.c.device_id)
        .where(DEVICES.c.unique_id == asking.unique_id)
        .order_by(DEVICES.c.changed_at.desc(), DEVICES.c.device_id)
        .limit(1)
    )
    own = connection.execute(query).scalar()
    if own and _live(connection, asking, CLAIMS.c.device_id == own):
        return None
    return own


def _proved(connection: Connection, asking: Asking) -> str | None:
    """The device that the board is in the field, as far as anybody knows."""
    mine = proved_devices(asking.now).where(DEVICES.c.unique_id == asking.unique_id)
    return connection.execute(mine).scalar()


def _slot_of(connection: Connection, asking: Asking, device_id: str) -> Row[Any] | None:
    """The slot for any board which wants this very device."""
    kinds = or_(_S.board.is_(None), _S.board.in_(asking.boards))
    which = (_S.run == asking.run, _S.device_id == device_id, _S.wanted_unique_id.is_(None), kinds)
    return connection.execute(select(SLOTS).where(*which).with_for_update()).first()


# PostgreSQL takes rows from an index in its order only if the columns that are NULL are named, too
BY_INDEX = (_S.wanted_unique_id, _S.unique_id, _S.board, _S.id)
BY_AGE = (_S.wanted_unique_id, _S.board, _S.changed_at, _S.id)


def _free(connection: Connection, asking: Asking) -> Row[Any] | None:
    """The first slot for any board of this kind that no board has had."""
    unused = (_S.status == "open", _S.unique_id.is_(None), *_givable(asking, _ON_BOARD))
    found = _firsts(connection, asking, unused, BY_INDEX)
    return min(found, key=lambda row: row.id, default=None)


def _given_up(connection: Connection, asking: Asking) -> Row[Any] | None:
    """The slot whose last board has failed, or has gone before anything was written to it."""
    had = _S.unique_id.is_not(None)
    failed = (_S.status == "failed", had, *_givable(asking, ("proved",)))
    gone = (_S.status == "open", had, *_givable(asking, _ON_BOARD))
    found = _firsts(connection, asking, failed, BY_AGE)
    found = found or _firsts(connection, asking, gone, BY_AGE)
    return min(found, key=lambda row: (row.changed_at, row.id), default=None)


def _firsts(
    connection: Connection,
    asking: Asking,
    which: Sequence[ColumnElement[bool]],
    order: Sequence[Column[Any]],
) -> list[Row[Any]]:
    """The first slot in that order of each kind that fits, of those that nobody has locked."""
    rows: list[Row[Any]] = []
    for kind in kinds(asking.boards):
        query = select(SLOTS).where(_S.run == asking.run, _S.wanted_unique_id.is_(None), kind)
        first = query.where(*which).order_by(*order).limit(1)
        rows += connection.execute(first.with_for_update(of=SLOTS, skip_locked=True)).all()
    return rows


def kinds(boards: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """Yield a condition for each kind of board that fits: an index leads to the first of each."""
    yield _S.board.is_(None)
    for name in boards:
        yield _S.board == name


def _counted(connection: Connection, asking: Asking) -> bool:
    """Count one slot more; False where there are as many as are wanted."""
    more = update(RUNS).where(RUNS.c.id == asking.run, ROOM).values(slots=RUNS.c.slots + 1)
    return connection.execute(more).rowcount == 1


def _made(connection: Connection, asking: Asking, rule: str, own: str | None) -> _Choice | Refusal:
    """A new slot, for the device that the board is already or a new one."""
    device_id = own or _named(connection, asking, rule)
    refused = _conflict(connection, asking, device_id, _ON_BOARD)
    if refused is not None:
        raise Refused(refused)
    row = {"run": asking.run, "line": 0, "id_rule": rule, "device_id": device_id}
    row |= {"status": "open", "changed_at": asking.now}
    made = connection.execute(SLOTS.insert().values(row)).inserted_primary_key
    assert made is not None
    slot = connection.execute(select(SLOTS).where(_S.id == made[0])).one()
    return slot, device_id


def _elsewhere(
    asking: Asking, device_id: str | ColumnElement[Any], states: Sequence[str]
) -> ColumnElement[bool]:
    """That a device is another board's already."""
    return (
        (DEVICES.c.device_id == device_id)
        & DEVICES.c.state.in_(states)
        & DEVICES.c.unique_id.is_not(None)
        & (DEVICES.c.unique_id != asking.unique_id)
    )


def _givable(asking: Asking, states: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """That a slot's device is not another board's, and that no run is at work on it.

    Two conditions, each of which PostgreSQL can look up for one slot after the other.
    """
    yield ~exists().where(_elsewhere(asking, _S.device_id, states))
    yield UNCLAIMED


def _refusal(connection: Connection, asking: Asking, rule: str | None) -> Refusal:
    """Why there is no slot for the board."""
    any_board = (_S.run == asking.run, _S.wanted_unique_id.is_(None))
    open_ones = select(SLOTS).where(*any_board, _S.status == "open").limit(1)
    for kind in kinds(asking.boards):
        theirs = select(DEVICES.c.device_id, DEVICES.c.unique_id).where(
            *any_board, _S.status == "open", kind, _elsewhere(asking, _S.device_id, _ON_BOARD)
        )
        other = connection.execute(theirs.limit(1)).first()
        if other is not None:
            return _other(other.device_id, other.unique_id)
    others = open_ones.where(_S.board.is_not(None), _S.board.not_in(asking.boards))
    left = connection.execute(others).first()
    if left is not None:
        return Refusal("wrong_board", f"what is left is for boards of the kind {left.board}")
    if rule is not None or connection.execute(select(_S.id).where(*any_board).limit(1)).first():
        return Refusal("full", "no device is left for it")
    return Refusal("not_wanted", f"the manifest does not name the board {asking.unique_id}")


def _live(connection: Connection, asking: Asking, which: ColumnElement[bool]) -> Any:
    return claims.live(connection, which, asking.seconds, asking.session)


def _busy(what: str, held: Row[Any]) -> Refusal:
    return Refusal("busy", f"{what} is being worked on by the station {held.station}")


def _other(device_id: str, other: str) -> Refusal:
    return Refusal(
        "other_board",
        f"{device_id} is the board {other} already: plug that one in, or, if it is broken, give"
        f" its place to this one: firmshake provision --id {device_id} --replace",
    )
