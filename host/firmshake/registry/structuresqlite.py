"""What a SQLite file is made of: tables, indexes, triggers and views, in SQLite's own text."""

from __future__ import annotations

from sqlalchemy import Connection, create_engine

from firmshake.registry.schema import tables_for

# without what SQLite makes by itself, for unique columns and for ANALYZE
_QUERY = (
    "SELECT type, name, sql FROM sqlite_master"
    " WHERE NOT (type IN ('index', 'table') AND name LIKE 'sqlite~_%' ESCAPE '~')"
)

Named = tuple[str, str]


def found(connection: Connection) -> dict[Named, str]:
    """Return what was made, under its kind and name; spaces don't count."""
    rows = connection.exec_driver_sql(_QUERY)
    return {(str(kind), str(name)): " ".join(str(text).split()) for kind, name, text in rows}


def as_made() -> dict[Named, str]:
    """Return what firmshake makes."""
    with create_engine("sqlite://").begin() as connection:
        tables_for("sqlite").create_all(connection)
        return found(connection)
