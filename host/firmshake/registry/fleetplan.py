"""Puts a manifest's devices into the registry, a million of them if need be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, exists, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from firmshake import idrule
from firmshake.errors import Error
from firmshake.registry.database import Database, insert
from firmshake.registry.fleetschema import RUNS, SLOTS
from firmshake.registry.record import proved_devices
from firmshake.registry.schema import DEVICES, HISTORY, Moment

if TYPE_CHECKING:
    from firmshake.fleet.planned import Planned

_COLUMNS = (
    "run",
    "line",
    "id_rule",
    "device_id",
    "wanted_unique_id",
    "board",
    "profile",
    "status",
    "changed_at",
)
_Row = tuple[int, int, str, str | None, str | None, str | None, str | None, str, str | None]


def put(
    database: Database,
    connection: Connection,
    run: int,
    planned: Iterable[Planned],
    now: datetime,
) -> int:
    """Make a slot for each device that is planned, and return how many they are.

    What has a fixed id is a device of the registry then, in state "planned" unless it was known.
    """
    counted = 0

    def rows() -> Iterator[_Row]:
        nonlocal counted
        at = Moment().process_bind_param(now, None)
        for one in planned:
            counted += 1
            device_id = _device_id(one)
            wanted = (one.unique_id, one.board, one.profile)
            yield (run, one.line, one.id_rule, device_id, *wanted, "open", at)

    try:
        database.put_many(connection, SLOTS, _COLUMNS, rows())
    except IntegrityError:
        raise Error(
            "two devices of the run have the same id",
            hint="nothing was planned; firmshake fleet check MANIFEST tells which",
        ) from None
    _put_devices(connection, run, now)
    _note_proved(connection, run, now)
    return counted


def _device_id(planned: Planned) -> str | None:
    """The id where it is known before a board comes."""
    rule = idrule.parse(planned.id_rule)
    if rule.fixed:
        return rule.text
    if planned.unique_id is None or rule.numbered:
        return None
    return rule.filled(unique_id=planned.unique_id)


def _put_devices(connection: Connection, run: int, now: datetime) -> None:
    mine = (SLOTS.c.run == run, SLOTS.c.device_id.is_not(None))
    at, state = literal(now, Moment), literal("planned")
    new = select(SLOTS.c.device_id, state, at, at).where(*mine)
    put = insert(connection, DEVICES).from_select(
        ["device_id", "state", "created_at", "changed_at"], new
    )
    connection.execute(put.on_conflict_do_nothing())
    # whatever was known before has a history
    told = exists().where(HISTORY.c.device_id == SLOTS.c.device_id)
    untold = select(at, SLOTS.c.device_id, state).where(*mine, ~told).order_by(SLOTS.c.id)
    connection.execute(HISTORY.insert().from_select(["at", "device_id", "state"], untold))


def _note_proved(connection: Connection, run: int, now: datetime) -> None:
    """What is proved already, by the board that is wanted and with a good certificate, is done."""
    board = (
        select(DEVICES.c.unique_id).where(DEVICES.c.device_id == SLOTS.c.device_id)
    ).scalar_subquery()
    fits = or_(SLOTS.c.wanted_unique_id.is_(None), SLOTS.c.wanted_unique_id == board)
    done = update(SLOTS).where(SLOTS.c.run == run, SLOTS.c.device_id.in_(proved_devices(now)), fits)
    connection.execute(done.values(status="proved", unique_id=board))


def made(connection: Connection, **row: object) -> int:
    """Make a run, and return its number; 0 where there is one of that digest already."""
    put = insert(connection, RUNS).values(row).on_conflict_do_nothing(index_elements=["digest"])
    number = connection.execute(put.returning(RUNS.c.id)).scalar()
    return int(number or 0)
