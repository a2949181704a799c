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
        raise Error("there is no such run", hint="see: firmshake fleet status")
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
    known = select(DEVICES.c.device_id).where(DEVICES.c.device_id == diagnosis.device_id)
    if connection.execute(known).first() is None:
        raise Error(f"no device {diagnosis.device_id} in the registry")
    row = vars(diagnosis)
    put = insert(connection, DIAGNOSES).values(row)
    connection.execute(put.on_conflict_do_update(index_elements=["device_id"], set_=row))
