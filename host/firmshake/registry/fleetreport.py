"""What is read and kept of runs besides the claims: their records, pages for a report, verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import ColumnElement, Connection, select

from firmshake.errors import Error
from firmshake.registry.database import insert
from firmshake.registry.fleetrecord import Diagnosis, RunDevice, RunRecord, SlotRecord
from firmshake.registry.fleetschema import DIAGNOSES, RUNS, SLOTS
from firmshake.registry.record import Change, DeviceRecord, change_of, device_of, devices_query
from firmshake.registry.schema import DEVICES, HISTORY

# slots at a time, each with its device and the history of that
_PAGE = 500

_RUN = [RUNS.c[field.name] for field in fields(RunRecord)]


def runs(connection: Connection) -> list[RunRecord]:
    """Return all runs, the oldest first."""
    rows = connection.execute(select(*_RUN).order_by(RUNS.c.id)).mappings()
    return [RunRecord(**row) for row in rows]


def run_of(connection: Connection, which: ColumnElement[bool]) -> RunRecord:
    """Return the run for which that holds; raise Error where there is none."""
    row = connection.execute(select(*_RUN).where(which)).mappings().first()
    if row is None:
        raise Error("there is no such run", hint="firmshake fleet status shows the last one")
    return RunRecord(**row)


def page(connection: Connection, run: int, after: int) -> Sequence[RunDevice]:
    """Return the next slots of a run behind that one, with their devices; none at the end."""
    query = select(SLOTS).where(SLOTS.c.run == run, SLOTS.c.id > after)
    rows = connection.execute(query.order_by(SLOTS.c.id).limit(_PAGE)).mappings()
    slots = [SlotRecord(**row) for row in rows]
    ids = [slot.device_id for slot in slots if slot.device_id]
    devices, histories = _devices(connection, ids), _histories(connection, ids)
    return [
        RunDevice(slot, devices.get(slot.device_id or ""), histories.get(slot.device_id or "", []))
        for slot in slots
    ]


def missing(connection: Connection, run: int, most: int) -> list[SlotRecord]:
    """Return the first open slots of a run, as many at most."""
    query = select(SLOTS).where(SLOTS.c.run == run, SLOTS.c.status == "open")
    rows = connection.execute(query.order_by(SLOTS.c.id).limit(most)).mappings()
    return [SlotRecord(**row) for row in rows]


def _devices(connection: Connection, ids: Sequence[str]) -> dict[str, DeviceRecord]:
    query = devices_query().where(DEVICES.c.device_id.in_(ids))
    found = map(device_of, connection.execute(query).mappings())
    return {device.device_id: device for device in found}


def _histories(connection: Connection, ids: Sequence[str]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = defaultdict(list)
    query = select(HISTORY).where(HISTORY.c.device_id.in_(ids)).order_by(HISTORY.c.id)
    for row in connection.execute(query).mappings():
        found[row["device_id"]].append(change_of(row))
    return found


def put_diagnosis(connection: Connection, diagnosis: Diagnosis) -> None:
    """Keep a board's last verdict; raise Error where the device is not known."""
    if put_diagnoses(connection, [diagnosis]):
        raise Error(f"no device {diagnosis.device_id} in the registry")


def put_diagnoses(connection: Connection, diagnoses: Sequence[Diagnosis]) -> set[str]:
    """Keep the last verdicts of boards, one each; return the ids of those that are not known."""
    ids = [one.device_id for one in diagnoses]
    known: set[str] = set()
    for start in range(0, len(ids), _PAGE):
        mine = DEVICES.c.device_id.in_(ids[start : start + _PAGE])
        known.update(connection.execute(select(DEVICES.c.device_id).where(mine)).scalars())
    # in one order always: two who write at once must not wait for each other
    rows = [vars(one) for one in diagnoses if one.device_id in known]
    rows.sort(key=lambda row: str(row["device_id"]))
    if rows:
        put = insert(connection, DIAGNOSES)
        new = {column.name: put.excluded[column.name] for column in DIAGNOSES.c}
        done = put.on_conflict_do_update(index_elements=["device_id"], set_=new)
        connection.execute(done, rows)
    return set(ids) - known
