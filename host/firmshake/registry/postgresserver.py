"""The registry in a PostgreSQL database: its transactions, and what can be wrong with them.

A connection is kept between transactions: making one, over TLS, takes longer than most of them.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, create_engine, inspect, select, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from firmshake import registryurl
from firmshake.errors import Error
from firmshake.registry.database import Conflict, Database, Mode, Unavailable, one_writer
from firmshake.registry.schema import REVISION

# What libpq and the server do unless the URL says otherwise. A station that loses its power must
# not keep the others from writing: the server ends what stands idle in a transaction
_DEFAULTS = {
    "connect_timeout": "10",
    "application_name": "firmshake",
    "keepalives_idle": "30",
    "tcp_user_timeout": "30000",
}
_SETTINGS = "-c lock_timeout=30s -c idle_in_transaction_session_timeout=30s"

_BUSY = ("in use by another process", "wait until the other command is done")
_RIGHTS = ("not accessible to this role", "docs/registry.md says which rights it needs")
_AGAIN = "look at the server and the network, then run the command again"
# SQLSTATEs and their classes (PostgreSQL documentation, appendix A), the longer ones first
_FAILURES: Mapping[str, tuple[str, str]] = {
    "42501": _RIGHTS,
    "42P01": ("damaged: a table is missing", "put back a backup of the database"),
    "25006": ("read-only", "name the server that takes writes, not its standby"),
    "40001": _BUSY,
    "40P01": _BUSY,
    "55P03": _BUSY,
    "57014": _BUSY,
    "53100": ("on a full disk", "make room on the server and run the command again"),
    "53300": ("out of connections", "raise max_connections on the server, or use fewer stations"),
    "22": ("not able to keep that", "a name in it is too long, or holds a NUL"),
    "25": ("no longer connected: it waited too long", _AGAIN),
    "28": _RIGHTS,
    "3D": ("not there", "make the database: createdb -E UTF8 NAME"),
    "57": ("shutting down, or not up yet", _AGAIN),
    "08": ("not reachable", _AGAIN),
}
# of these, what passes when others are done, or the server or the way to it is up again
_PASSING = ("55P03", "57014", "53300", "25P03", "57", "08")
# and what another transaction did that was at the same rows
_CONFLICTS = ("40001", "40P01")


class PostgresServer(Database):
    """A registry's database, by its URL."""

    def __init__(self, url: str) -> None:
        parts = _parse(url)
        self.where, self.location = parts.render_as_string(), url
        self._engine = _engine(parts)
        # all that one transaction reads is of one moment
        self._reading = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    @contextlib.contextmanager
    def begin(self, mode: Mode) -> Iterator[Connection]:
        """Return a transaction on a connection that is kept."""
        engine = self._reading if mode is Mode.READ else self._engine
        with engine.begin() as connection:
            if mode is Mode.WRITE:
                one_writer(connection)
            yield connection

    def failure(self, error: DBAPIError) -> Error:
        """Return what the server, or the way to it, complained of."""
        state = getattr(error.orig, "sqlstate", None)
        if state is None:
            return _unreached(self.where, error)
        words = next((_FAILURES[key] for key in (state, state[:2]) if key in _FAILURES), None)
        what, hint = words or (f"not usable ({state})", "look into the server's log")
        kind = Conflict if state in _CONFLICTS else Error
        if state in _PASSING or state[:2] in _PASSING:
            kind = Unavailable
        return kind(f"the registry {self.where} is {what}", hint)

    def version(self, connection: Connection) -> int:
        """Return the number in Alembic's table; raise Error where there is none."""
        found = None
        if inspect(connection).has_table(REVISION.name):
            found = connection.execute(select(REVISION.c.version_num)).scalar()
        if found is None or not found.isdecimal():
            raise Error(
                f"{self.where} is not a registry",
                hint="firmshake registry move URL makes one of an empty database",
            )
        return int(found)

    def note_version(self, connection: Connection, version: int) -> None:
        """Nothing: Alembic's own note is all."""

    def clock(self, connection: Connection, now: datetime) -> float:
        """Return the server's time, which all stations share."""
        query = text("SELECT extract(epoch FROM clock_timestamp())")
        return float(connection.execute(query).scalar_one())

    def put_many(
        self, connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Any]
    ) -> None:
        """Put in many rows by COPY."""
        import psycopg

        raw = connection.connection.driver_connection
        assert raw is not None
        names = ", ".join(f'"{name}"' for name in columns)
        command = f"COPY {table.name} ({names}) FROM STDIN"
        try:
            with raw.cursor() as cursor, cursor.copy(command) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.Error as error:
            kind = IntegrityError if isinstance(error, psycopg.IntegrityError) else DBAPIError
            raise kind("COPY", None, error) from None


@functools.cache
def _engine(url: URL) -> Engine:
    """Return access to a database; one a process, whose threads share its connections."""
    query = {**_DEFAULTS, **url.query}
    settings = f"{_SETTINGS} {' '.join(url.normalized_query.get('options', ()))}".strip()
    full = url.set(drivername="postgresql+psycopg", query={**query, "options": settings})
    try:
        # a connection that the server has ended meanwhile is noticed, and made anew
        engine = create_engine(full, pool_size=1, max_overflow=-1, pool_pre_ping=True)
    except ImportError:
        raise Error(
            "a registry in PostgreSQL needs its driver", hint="pip install 'firmshake[postgresql]'"
        ) from None
    # two processes must not speak on one connection: what is forked makes its own
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    _ENGINES.append(engine)
    return engine


_ENGINES: list[Engine] = []


def disconnect() -> None:
    """Let go of the connections that are kept; the next transaction makes a new one."""
    for engine in _ENGINES:
        engine.dispose()


def _parse(url: str) -> URL:
    try:
        return make_url(registryurl.check(url))
    except ArgumentError:  # what its own pattern does not take, such as a port that is no number
        raise Error("that is no URL", hint=f"such as {registryurl.EXAMPLE}") from None


def _unreached(where: str, error: DBAPIError) -> Error:
    """What kept from connecting: libpq says it in its own words, which hold no password."""
    lines = [line.strip() for line in str(error.orig).splitlines()]
    said = next((line for line in lines if line), "no reason given")
    return Unavailable(
        f"the registry {where} is not reachable: {said}",
        hint=f"is the server up, and does the role need a password? {registryurl.ADVICE}",
    )
