"""Whether a run may want a board of a kind, before anybody knows which board it is.

Works within the transaction of its caller, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, or_, select

from firmshake.registry.fleetclaim import BY_AGE, BY_INDEX, ROOM, UNCLAIMED, kinds
from firmshake.registry.fleetrecord import Refusal, SlotStatus
from firmshake.registry.fleetschema import RUNS, SLOTS

_S = SLOTS.c

_FREE: tuple[SlotStatus, ...] = ("open", "failed")
# whose board may have gone before it was proved
_UNPROVED: tuple[SlotStatus, ...] = (*_FREE, "held")

_UNTOUCHED = "nothing was written to it"


def refusal(connection: Connection, run: int, boards: Sequence[str]) -> Refusal | None:
    """Return None where the run may want a board of one of these kinds, or why it does not.

    Which board a slot wants by its unique id is no matter: this one may be it. "busy": only what is
    being worked on could take it, and that may become free.
    """
    rule = connection.execute(select(RUNS.c.rule).where(RUNS.c.id == run)).scalar()
    room = select(RUNS.c.id).where(RUNS.c.id == run, ROOM)
    if rule is not None and connection.execute(room).first() is not None:
        return None
    if _is_one(connection, run, boards, _FREE, UNCLAIMED):
        return None
    if _is_one(connection, run, boards, _UNPROVED):
        return Refusal("busy", f"what is left for such a board is being worked on; {_UNTOUCHED}")
    if rule is not None:
        return Refusal("full", f"no device is left for it; {_UNTOUCHED}")
    kind = " or ".join(boards)
    return Refusal(
        "wrong_board",
        f"no line of the manifest that is still open takes a board of the kind {kind};"
        f" {_UNTOUCHED}",
    )


def _is_one(
    connection: Connection,
    run: int,
    boards: Sequence[str],
    statuses: Sequence[SlotStatus],
    *more: ColumnElement[bool],
) -> bool:
    """Whether a slot of these statuses takes such a board."""
    for status in statuses:
        for slot, order in _slots(boards):
            query = select(_S.id).where(_S.run == run, _S.status == status, slot, *more)
            if connection.execute(query.order_by(*order).limit(1)).first() is not None:
                return True
    return False


def _slots(boards: Sequence[str]) -> Iterator[tuple[ColumnElement[bool], Sequence[Column[Any]]]]:
    """What slots may take such a board, each with the order of the index that leads there.

    Of those that want a board by its id, which come last, the index does not tell the kind: each of
    that status is looked at until one fits.
    """
    for kind in kinds(boards):
        yield _S.wanted_unique_id.is_(None) & _S.unique_id.is_(None) & kind, BY_INDEX
        yield _S.wanted_unique_id.is_(None) & _S.unique_id.is_not(None) & kind, BY_AGE
    yield (_S.wanted_unique_id > "") & or_(*kinds(boards)), BY_INDEX
