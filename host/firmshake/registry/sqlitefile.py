"""The registry in a SQLite file: its transactions, its version, and what can be wrong with it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from firmshake import newfile
from firmshake.errors import Error
from firmshake.registry.database import Database, Mode, Unavailable, tell
from firmshake.registry.schema import APPLICATION_ID

# how long a write waits for others to finish theirs. SQLite has no queue: whoever asks when the
# file is free goes first, and with eight that write all the while one may wait for seconds
WAIT_S = 20.0
# of that, how long without a word
_SILENT_S = 2.0
_WAITS = "PRAGMA busy_timeout = {:.0f}"

# a write takes the lock at once: two writers wait for each other, and neither can find that what it
# read has changed when it comes to write
_BEGIN = {Mode.READ: "BEGIN", Mode.WRITE: "BEGIN IMMEDIATE", Mode.CLAIM: "BEGIN IMMEDIATE"}

# rows that are in memory at a time
_AT_ONCE = 10_000

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
# what passes
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class SqliteFile(Database):
    """A registry's file, by its path. Nothing is held open between two transactions."""

    def __init__(self, path: Path) -> None:
        self.where, self.location = str(path), path
        self._engine = _engine(path)

    @contextlib.contextmanager
    def begin(self, mode: Mode) -> Iterator[Connection]:
        """Return a transaction on a connection of its own."""
        with self._engine.begin() as connection:
            _patiently(connection.exec_driver_sql, _BEGIN[mode])
            connection.exec_driver_sql(_WAITS.format(WAIT_S * 1000))
            yield connection

    def failure(self, error: DBAPIError) -> Error:
        """Return what SQLite complained of."""
        code = _code(error.orig)
        what, hint = _FAILURES.get(code, ("not usable", "put back a copy of it"))
        kind = Unavailable if code in _BUSY else Error
        return kind(f"the registry {self.where} is {what}", hint)

    def version(self, connection: Connection) -> int:
        """Return `PRAGMA user_version`; raise Error where the file is another application's."""
        if connection.exec_driver_sql("PRAGMA application_id").scalar() != APPLICATION_ID:
            raise Error(f"{self.where} is not a registry", hint="put back the file that init made")
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())

    def note_version(self, connection: Connection, version: int) -> None:
        """Mark the file as a registry, and of this version."""
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {version}")

    def clock(self, connection: Connection, now: datetime) -> float:
        """Return this machine's time: all who write the file are on it."""
        return now.timestamp()

    def put_many(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Any]
    ) -> None:
        """Put in many rows by one statement that is prepared once."""
        text = str(table.insert().compile(self._engine, column_keys=columns))
        left = iter(rows)
        while part := list(islice(left, _AT_ONCE)):
            connection.exec_driver_sql(text, part)


def made(path: Path) -> SqliteFile:
    """Make the file, which is empty; raise Error where one is there or the disk won't."""
    try:
        newfile.create(path, b"")
    except OSError as error:
        raise Error(f"can't make the registry {path}: {error.strerror}") from None
    return SqliteFile(path)


def found(path: Path) -> SqliteFile:
    """Return the file at `path`; raise Error where there is none."""
    if not os.path.isfile(path):  # answers, where Path.is_file raises
        raise Error(f"no registry at {path}", hint="make a project: firmshake init FOLDER")
    return SqliteFile(path)


def _patiently(execute: Callable[[str], object], statement: str) -> None:
    """Execute it; where that has to wait for others, say so after a while, and when it is over."""
    try:
        execute(statement)
    except (sqlite3.OperationalError, DBAPIError) as error:
        if _code(error.orig if isinstance(error, DBAPIError) else error) not in _BUSY:
            raise
        tell("waiting for the registry: another process uses it")
        execute(_WAITS.format(WAIT_S * 1000))
        execute(statement)
        tell("the registry is free again")


def _code(error: BaseException | None) -> int:
    """The kind of error: SQLite's result code without the bits that tell its variety."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


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
        creator=lambda: sqlite3.connect(
            address, uri=True, timeout=min(_SILENT_S, WAIT_S), isolation_level=None
        ),
        poolclass=NullPool,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        # what is committed stays so when the power goes: with FULL, SQLite's default, the removal
        # of the journal may not be on the disk yet, and the journal would undo the transaction
        # this is the first that looks into the file
        _patiently(connection.execute, "PRAGMA synchronous = EXTRA")

    return engine
