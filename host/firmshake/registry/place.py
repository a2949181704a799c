"""Opens a registry where it is, and makes a new one: in a file by its path, or by a URL."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, func, inspect, select

from firmshake.errors import Error
from firmshake.registry import fleetschema, sqlitefile
from firmshake.registry.database import READ, Database
from firmshake.registry.postgresserver import PostgresServer
from firmshake.registry.schema import METADATA, REVISION, VERSION, tables_for

# importing them has put the fleet's tables beside the others
assert fleetschema.RUNS.metadata is METADATA


def found(where: Path | str) -> Database:
    """Return the database at a path or URL, whatever is in it.

    Raises Error where there is no such file, or the URL is wrong.
    """
    return sqlitefile.found(where) if isinstance(where, Path) else PostgresServer(where)


def opened(where: Path | str) -> Database:
    """Return the database there; raise Error where it holds no registry of our version."""
    database = found(where)
    database.check_version()
    return database


def created(where: Path | str) -> Database:
    """Make an empty registry; raise Error where something is there already."""
    database = sqlitefile.made(where) if isinstance(where, Path) else PostgresServer(where)
    with database.transaction() as connection:
        fill(database, connection)
    return database


def check_empty(url: str) -> None:
    """Raise Error where the database at `url` can't be reached, or holds tables."""
    database = PostgresServer(url)
    with database.transaction(READ) as connection:
        _check_empty(database, connection)


def fill(database: Database, connection: Connection) -> None:
    """Make the tables of this version, which migrations would make, too, but slower.

    Raises Error where the database holds others.
    """
    _check_empty(database, connection)
    tables_for(connection.dialect.name).create_all(connection)
    connection.execute(REVISION.insert().values(version_num=revision(VERSION)))
    database.note_version(connection, VERSION)


def _check_empty(database: Database, connection: Connection) -> None:
    if inspect(connection).get_table_names():
        raise Error(
            f"{database.where} holds tables already, and nothing was changed",
            hint="name an empty database: createdb -E UTF8 NAME",
        )


def revision(version: int) -> str:
    """Return what Alembic calls a version."""
    return f"{version:04}"


def counts(database: Database) -> tuple[int, dict[str, int]]:
    """Return the version of a registry, also an older or newer one, and its tables' rows."""
    with database.transaction(READ) as connection:
        version = database.version(connection)
        there = {*inspect(connection).get_table_names()}
        tables = [table for table in METADATA.sorted_tables if table is not REVISION]
        queries = {
            table.name: select(func.count()).select_from(table)
            for table in tables
            if table.name in there
        }
        return version, {n: connection.execute(q).scalar_one() for n, q in queries.items()}
