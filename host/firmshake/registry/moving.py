"""Copies a registry from its file into an empty PostgreSQL database, whole or not at all.

Rows are copied as they stand, without being understood: what was damaged stays as damaged, and the
log keeps every byte that its hashes cover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from firmshake.errors import Error
from firmshake.registry import issuance, log, place
from firmshake.registry.database import Database
from firmshake.registry.log import Entry
from firmshake.registry.schema import LOG, METADATA, REVISION

TABLES = [table for table in METADATA.sorted_tables if table is not REVISION]
# rows that are in memory at a time
_AT_ONCE = 5_000


def move(
    path: Path,
    url: str,
    switch: Callable[[], None] = lambda: None,
    progress: Callable[[str, int], None] = lambda table, count: None,
) -> dict[str, int]:
    """Copy the registry at `path` to the database at `url`; return how many rows each table has.

    `switch` is called when all is there, while nobody can write to the file. Raises Error, with
    nothing left in the database, where that is not empty or what was copied is not the same.
    """
    source, target = place.opened(path), place.found(url)
    with source.transaction() as old:
        with target.transaction() as new:
            place.fill(target, new)
            for table in TABLES:
                target.put_many(new, table, list(table.c.keys()), _rows(old, table, progress))
            _count_on(new)
            counts = _checked(target, old, new)
        switch()
    return counts


def _rows(
    connection: Connection, table: Table, progress: Callable[[str, int], None]
) -> Iterator[tuple[Any, ...]]:
    query = str(select(table).compile(connection.engine))
    result = connection.exec_driver_sql(query)
    done = 0
    for part in result.partitions(_AT_ONCE):
        yield from map(tuple, part)
        done += len(part)
        progress(table.name, done)


def _count_on(connection: Connection) -> None:
    """Have PostgreSQL number new rows behind those that were copied."""
    for table in TABLES:
        column = table.autoincrement_column
        if column is not None:
            last = connection.execute(select(func.max(column))).scalar()
            if last:
                name = {"table": table.name, "column": column.name, "last": last}
                query = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
                connection.execute(query, name)


def _checked(target: Database, old: Connection, new: Connection) -> dict[str, int]:
    """How many rows each table has, which is as many as before; the chain of the log holds."""
    counts = {}
    for table in TABLES:
        query = select(func.count()).select_from(table)
        there, here = (connection.execute(query).scalar_one() for connection in (old, new))
        if there != here:
            raise Error(f"{here} of {there} rows of the table {table.name} came to {target.where}")
        counts[table.name] = here
    rows = select(LOG).order_by(LOG.c.seq).execution_options(yield_per=_AT_ONCE)
    with new.execute(rows) as found:
        entries = (Entry(row.seq, row.entry, row.sha256) for row in found)
        broken = next(log.broken(entries), None)
    if broken is not None or issuance.last(old) != issuance.last(new):
        raise Error(
            f"the log does not hold: {broken or 'its end is another'}",
            hint="nothing was moved; see: firmshake ca audit",
        )
    return counts
