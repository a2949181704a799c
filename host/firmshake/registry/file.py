"""The registry's SQLite file: its transactions, its version, and what can be wrong with it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from firmshake import newfile
from firmshake.errors import Error
from firmshake.registry.schema import APPLICATION_ID, METADATA, VERSION

# how long a write waits for another process to finish its own
WAIT_S = 5.0

READ = "BEGIN"
# takes the write lock at once: two writers wait for each other, and neither can find that what it
# read has changed when it comes to write
WRITE = "BEGIN IMMEDIATE"

# SQLite's result codes (https://www.sqlite.org/rescode.html): what is wrong, and what to do
_FAILURES: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_BUSY: ("in use by another process", "wait until the other command is done"),
    sqlite3.SQLITE_LOCKED: ("in use by another process", "wait until the other command is done"),
    sqlite3.SQLITE_READONLY: ("not writable", "allow this user to write the file and its folder"),
    sqlite3.SQLITE_PERM: ("not accessible", "allow this user to read and write the file"),
    sqlite3.SQLITE_CANTOPEN: ("not accessible", "allow this user to read and write the file"),
    sqlite3.SQLITE_FULL: ("on a full disk", "make room and run the command again"),
    sqlite3.SQLITE_IOERR: ("not readable or writable", "check the disk and its free space"),
    sqlite3.SQLITE_CORRUPT: ("damaged", "put back a copy of it"),
    # no table of that name: nothing else of ours can be wrong in a statement
    sqlite3.SQLITE_ERROR: ("damaged", "put back a copy of it"),
    sqlite3.SQLITE_NOTADB: ("not a registry", "put back the file that firmshake init made"),
}


class RegistryFile:
    """A registry's file, by its path. Nothing is held open between two transactions."""

    def __init__(self, path: Path) -> None:
        self._path, self._engine = path, _engine(path)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new file with empty tables; raise Error where one is there or the disk won't."""
        try:
            newfile.create(path, b"")
        except OSError as error:
            raise Error(f"can't make the registry {path}: {error.strerror}") from None
        made = cls(path)
        with made.transaction() as connection:
            METADATA.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
        return made

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the file at `path`; raise Error where there is none, or not one of our version."""
        if not os.path.isfile(path):  # answers, where Path.is_file raises
            raise Error(f"no registry at {path}", hint="make a project: firmshake init FOLDER")
        found = cls(path)
        with found.transaction(READ) as connection:
            _check_version(path, connection)
        return found

    @contextlib.contextmanager
    def transaction(self, begin: str = WRITE) -> Iterator[Connection]:
        """A transaction, committed at the end; what SQLite complains of becomes an Error."""
        try:
            with self._engine.begin() as connection:
                connection.exec_driver_sql(begin)
                yield connection
        except DBAPIError as error:
            raise _failure(self._path, error) from None


def _engine(path: Path) -> Engine:
    """Return access to the file, with SQLite's rollback journal and not its WAL.

    So the registry stays one file that can be copied, and works on network disks. Many readers
    beside one short writer are all that it has to bear.
    """
    # rw, not rwc: a registry that is missing must not spring up empty
    address = f"{path.absolute().as_uri()}?mode=rw"
    engine = create_engine(
        "sqlite://",
        # without Python's own transactions: ours begin where they should
        creator=lambda: sqlite3.connect(address, uri=True, timeout=WAIT_S, isolation_level=None),
        poolclass=NullPool,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


def _check_version(path: Path, connection: Connection) -> None:
    if connection.exec_driver_sql("PRAGMA application_id").scalar() != APPLICATION_ID:
        raise Error(f"{path} is not a registry", hint="put back the file that init made")
    version = connection.exec_driver_sql("PRAGMA user_version").scalar()
    if version != VERSION:
        raise Error(
            f"the registry {path} is of version {version}, and this firmshake knows {VERSION}",
            hint="use the firmshake that wrote it, or a newer one",
        )


def _failure(path: Path, error: DBAPIError) -> Error:
    code = getattr(error.orig, "sqlite_errorcode", 0)
    # the low byte is the kind of error, the rest its variety
    what, hint = _FAILURES.get(code & 0xFF, ("not usable", "put back a copy of it"))
    return Error(f"the registry {path} is {what}", hint)
