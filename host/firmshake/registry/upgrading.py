"""Brings an older registry to this version, by Alembic, in one transaction."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from firmshake.errors import Error
from firmshake.registry import place
from firmshake.registry.database import Database
from firmshake.registry.schema import REVISION, VERSION

# the first that the migrations know; those before it were never released
_FIRST = 2


def upgrade(where: Path | str) -> int:
    """Bring the registry there to this version, and return the version that it had.

    Raises Error, with nothing changed, where there is none, or one that is newer.
    """
    database = place.found(where)
    with database.transaction() as connection:
        before = database.version(connection)
        if not _FIRST <= before <= VERSION:
            raise Error(
                f"the registry {database.where} is of version {before}, and this firmshake upgrades"
                f" those from {_FIRST} to {VERSION}",
                hint="use the firmshake that wrote it, or a newer one",
            )
        if before < VERSION:
            _note_revision(connection, before)
            migrate(database, connection)
    return before


def migrate(database: Database, connection: Connection, version: int = VERSION) -> None:
    """Run the migrations that are missing up to a version: in an empty database, all of them."""
    from alembic import command  # slow to load, and seldom needed
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "firmshake.registry:migrations")
    command.upgrade(config, place.revision(version))
    database.note_version(connection, version)


def _note_revision(connection: Connection, version: int) -> None:
    """Version 2 of a file knew nothing of Alembic."""
    if not inspect(connection).has_table(REVISION.name):
        REVISION.create(connection)
        connection.execute(REVISION.insert().values(version_num=place.revision(version)))
