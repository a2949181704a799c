"""Whether the registry has the tables and triggers that firmshake makes, and no others.

A trigger that somebody adds changes rows behind the back of every command; without those of the
log, anything can.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from sqlalchemy import Connection


def differences(connection: Connection) -> Iterator[str]:
    """Yield each way in which the schema is not the one that firmshake makes, in words."""
    own = _of(connection.dialect.name)
    found, ours = own.found(connection), own.as_made()
    for kind, name in sorted(ours.keys() - found.keys()):
        yield f"the registry lacks the {kind} {name}"
    for kind, name in sorted(found.keys() - ours.keys()):
        yield f"the registry has a {kind} {name}, which firmshake does not make"
    for kind, name in sorted(found.keys() & ours.keys()):
        if found[kind, name] != ours[kind, name]:
            yield f"the registry's {kind} {name} is not as firmshake makes it"


def _of(dialect: str) -> ModuleType:
    """Loads no other dialect than the one that is in use."""
    if dialect == "sqlite":
        from firmshake.registry import structuresqlite

        return structuresqlite
    from firmshake.registry import structurepostgres

    return structurepostgres
