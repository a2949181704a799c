"""Whether the registry's file has the tables and triggers that firmshake makes, and no others.

A trigger that somebody adds changes rows behind the back of every command; without those of the
log, anything can.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, create_engine

from firmshake.registry.schema import METADATA

# without what SQLite makes by itself, for unique columns and for ANALYZE
_QUERY = (
    "SELECT type, name, sql FROM sqlite_master"
    " WHERE NOT (type IN ('index', 'table') AND name LIKE 'sqlite~_%' ESCAPE '~')"
)

_Named = tuple[str, str]


def differences(connection: Connection) -> Iterator[str]:
    """Yield each way in which the file's schema is not the one that firmshake makes, in words."""
    found, ours = _schema(connection), _as_made()
    for kind, name in sorted(ours.keys() - found.keys()):
        yield f"the registry lacks the {kind} {name}"
    for kind, name in sorted(found.keys() - ours.keys()):
        yield f"the registry has a {kind} {name}, which firmshake does not make"
    for kind, name in sorted(found.keys() & ours.keys()):
        if found[kind, name] != ours[kind, name]:
            yield f"the registry's {kind} {name} is not as firmshake makes it"


def _schema(connection: Connection) -> dict[_Named, str]:
    """What was made, under its kind and name; spaces don't count."""
    rows = connection.exec_driver_sql(_QUERY)
    return {(str(kind), str(name)): " ".join(str(text).split()) for kind, name, text in rows}


def _as_made() -> dict[_Named, str]:
    with create_engine("sqlite://").begin() as connection:
        METADATA.create_all(connection)
        return _schema(connection)
