"""Where the registry is: a SQLite file, or a PostgreSQL database that several stations share.

Whichever it is gives transactions, and makes an Error of what it complains about. What differs
besides is here too: how rows are put in, and what the time is.
"""

from __future__ import annotations

import contextlib
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

from firmshake.errors import Error
from firmshake.registry.schema import APPLICATION_ID, VERSION

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

_P = ParamSpec("_P")
_T = TypeVar("_T")

# how often a transaction is done again that another one got in the way of
_TRIES = 5


# whom to tell that a call waits for others: the last of them
_TOLD: list[Callable[[str], None]] = []


class Unavailable(Error):
    """The registry does not answer now: it can't be reached, or others keep it busy.

    Later it may. Nothing was changed, unless the connection broke just when the change was made.
    """


class Conflict(Unavailable):
    """Another transaction was at the same rows, and nothing was changed: do it again at once."""


class Mode(Enum):
    """What a transaction is for. On SQLite CLAIM is as WRITE: there is one writer at a time."""

    READ = "read"
    # one at a time: the log has one order, and what was read has not changed when it comes to write
    WRITE = "write"
    # beside others: whoever claims locks the rows that it claims
    CLAIM = "claim"


READ, WRITE, CLAIM = Mode


class Database(ABC):
    """A place that holds a registry. `where` names it in messages, and `location` opens it."""

    where: str
    location: Path | str

    @abstractmethod
    def begin(self, mode: Mode) -> contextlib.AbstractContextManager[Connection]:
        """Return a transaction; SQLAlchemy's errors leave it as they are."""

    @abstractmethod
    def failure(self, error: DBAPIError) -> Error:
        """Return what SQLAlchemy raised in words, with what to do; nothing secret is in it.

        It is Unavailable where the same may go through later.
        """

    @abstractmethod
    def version(self, connection: Connection) -> int:
        """Return the version of the tables; raise Error where this is no registry."""

    @abstractmethod
    def note_version(self, connection: Connection, version: int) -> None:
        """Note the version beside Alembic's own note, where there is such a place."""

    @abstractmethod
    def clock(self, connection: Connection, now: datetime) -> float:
        """Return the time that leases are measured by, in seconds since 1970.

        Stations that share a database have a clock each, which may differ: the database's counts.
        """

    @abstractmethod
    def put_many(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Any]
    ) -> None:
        """Put in many rows, fast: tuples of values as the database keeps them."""

    @contextlib.contextmanager
    def transaction(self, mode: Mode = WRITE) -> Iterator[Connection]:
        """A transaction, committed at the end; what the database complains of becomes an Error."""
        try:
            with self.begin(mode) as connection:
                yield connection
        except DBAPIError as error:
            raise self.failure(error) from None

    def check_version(self) -> None:
        """Raise Error where this is no registry, or not one of our version."""
        with self.transaction(READ) as connection:
            version = self.version(connection)
        if version < VERSION:
            raise Error(
                f"the registry {self.where} is of version {version}, and this firmshake needs"
                f" {VERSION}",
                hint="back it up, then run: firmshake registry upgrade",
            )
        if version > VERSION:
            raise Error(
                f"the registry {self.where} is of version {version}, and this firmshake knows"
                f" {VERSION}",
                hint="use the firmshake that wrote it, or a newer one",
            )


def repeated(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have what ends in a Conflict done again, some times."""

    @functools.wraps(method)
    def doing(*arguments: _P.args, **named: _P.kwargs) -> _T:
        for _ in range(_TRIES - 1):
            with contextlib.suppress(Conflict):
                return method(*arguments, **named)
        return method(*arguments, **named)

    return doing


@contextlib.contextmanager
def waits_told(told: Callable[[str], None]) -> Iterator[None]:
    """Have `told` called with words once a call has waited for others for a while, and after it.

    It is called within that call. It holds for the whole process until the context ends.
    """
    _TOLD.append(told)
    try:
        yield
    finally:
        _TOLD.pop()


def tell(text: str) -> None:
    """Say how it stands with a call that waits, to whoever wants to know."""
    if _TOLD:
        _TOLD[-1](text)


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that knows what to do on a conflict, as this database spells it."""
    # a dialect is slow to load: the one that is in use is there
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def one_writer(connection: Connection) -> None:
    """Have this transaction be the only one that writes what has to have one order."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({APPLICATION_ID})")
