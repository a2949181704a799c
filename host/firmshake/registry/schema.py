"""The registry's tables, and how a moment is kept in them. Does no I/O.

There is no column for a private key, and there must never be one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    DDL,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from firmshake.errors import Error

# what `PRAGMA application_id` says, so that no other SQLite file passes for a registry: "fshk"
APPLICATION_ID = 0x6673686B
# The version goes up when a table changes: a revision of migrations/ leads from each to the next.
# It is the number in `alembic_version`, and on SQLite what `PRAGMA user_version` says, too
VERSION = 3

STATES = ("planned", "issued", "written", "proved", "failed")

# in what SQLAlchemy lets one note about an index: the condition of its rows
_WHERE = "where"

# what a certificate is for; also the names of the profiles
KINDS = ("root", "intermediate", "broker", "device", "other")


def key(length: int) -> String:
    """Return a type of text that is sorted by its bytes, as SQLite does, on PostgreSQL, too.

    There a database sorts by a language's rules: "a-2" between "a1" and "a3".
    """
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Moment(TypeDecorator[datetime]):
    """A moment as ISO 8601 text in UTC: it sorts as it stands, and a person can read it."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the text that a moment is kept as."""
        # sorted by its bytes, as `key` is
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(String(32, collation=collation))

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="seconds")

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        try:
            found = datetime.fromisoformat(value)
        except (ValueError, TypeError):
            raise Error(
                f"the registry is damaged: {value!r} is no date", hint="put back a copy of it"
            ) from None
        return found if found.tzinfo else found.replace(tzinfo=UTC)


METADATA = MetaData()


def partial(name: str, *columns: ColumnElement[Any], where: ColumnElement[bool]) -> Index:
    """Return an index of those rows for which that holds; `tables_for` puts the condition in."""
    return Index(name, *columns, info={_WHERE: where})


def tables_for(dialect: str) -> MetaData:
    """Return all tables as that database makes them: its indexes have their conditions.

    They are not put in for both at once: SQLAlchemy loads each dialect that is named to it, with
    all drivers, which takes longer than most questions.
    """
    for table in METADATA.tables.values():
        for index in table.indexes:
            if _WHERE in index.info:
                index.dialect_kwargs[f"{dialect}_{_WHERE}"] = index.info[_WHERE]
    return METADATA


DEVICES = Table(
    "devices",
    METADATA,
    Column("device_id", key(64), primary_key=True),
    Column("unique_id", key(64), index=True),
    Column("chip", String(64)),
    Column("firmware", String(200)),
    Column("state", String(16), nullable=False),
    Column("verdict", String(200)),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Index("devices_by_state", "state", "verdict"),
)

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("id", Integer, primary_key=True),  # the order of issue
    # RFC 5280 section 4.1.2.2: 20 octets at most
    Column("serial_number", String(40), nullable=False, unique=True),
    Column("fingerprint_sha256", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(200), nullable=False),  # the common name
    # None for what is not a device's
    Column("device_id", ForeignKey(DEVICES.c.device_id)),
    # the issuer's key identifier, RFC 5280 section 4.2.1.1
    Column("issuer", String(64), nullable=False),
    Column("der", LargeBinary, nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("not_after", Moment, nullable=False, index=True),
    Column("issued_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("reason", String(32)),  # RFC 5280 section 5.3.1
    Index("certificates_of_device", "device_id", "id"),
)
partial(
    "certificates_revoked",
    CERTIFICATES.c.issuer,
    CERTIFICATES.c.id,
    where=CERTIFICATES.c.revoked_at.is_not(None),
)
partial(
    "certificates_of_others",
    CERTIFICATES.c.kind,
    CERTIFICATES.c.id,
    where=CERTIFICATES.c.device_id.is_(None),
)

# where keys that were made here are on their way to; a row goes when all of them are there
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("place", Text, nullable=False),  # the absolute path of a file or folder
    # a claim to the ids PREFIX-FIRST to PREFIX-LAST; None where the devices have other names
    Column("prefix", String(64)),
    Column("first", Integer),
    Column("last", Integer),
    Column("began_at", Moment, nullable=False),
)
# the certificates whose keys may not be there yet, and after a kill may be lost
UNDELIVERED = Table(
    "undelivered",
    METADATA,
    Column("serial_number", ForeignKey(CERTIFICATES.c.serial_number), primary_key=True),
    Column("delivery", ForeignKey(DELIVERIES.c.id), nullable=False),
)

# the revocation lists that were signed
CRLS = Table(
    "crls",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("issuer", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("this_update", Moment, nullable=False),
    Column("next_update", Moment, nullable=False),
    UniqueConstraint("issuer", "number"),
)

# everything that the CA has signed and revoked; each row's hash covers the row before (log.py)
LOG = Table(
    "log",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
)
# against mistakes; who can write the file can take them away, and then the hashes tell
_REFUSAL = "the log is append-only"
LOG_FUNCTION = f"BEGIN RAISE EXCEPTION '{_REFUSAL}'; END"
LOG_TRIGGERS = {
    "sqlite": {
        f"log_no_{verb.lower()}": f"CREATE TRIGGER log_no_{verb.lower()} BEFORE {verb} ON log"
        f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for verb in ("UPDATE", "DELETE")
    },
    "postgresql": {
        f"log_no_{verb.lower()}": f"CREATE TRIGGER log_no_{verb.lower()} BEFORE {verb} ON log"
        " FOR EACH STATEMENT EXECUTE FUNCTION log_is_append_only()"
        for verb in ("UPDATE", "DELETE", "TRUNCATE")
    },
}
LOG_GUARD = {
    "sqlite": [*LOG_TRIGGERS["sqlite"].values()],
    "postgresql": [
        "CREATE FUNCTION log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        f" $${LOG_FUNCTION}$$",
        *LOG_TRIGGERS["postgresql"].values(),
    ],
}
for _dialect, _texts in LOG_GUARD.items():
    for _text in _texts:
        _made = DDL(_text)  # type: ignore[no-untyped-call]  # SQLAlchemy 2.1 has no annotations
        event.listen(LOG, "after_create", _made.execute_if(dialect=_dialect))

# one row a change, never altered
HISTORY = Table(
    "history",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("device_id", ForeignKey(DEVICES.c.device_id), nullable=False),
    Column("state", String(16), nullable=False),
    Column("verdict", String(200)),
    Column("serial_number", ForeignKey(CERTIFICATES.c.serial_number)),
    Column("unique_id", String(64)),  # of the board, where the change told it
    Index("history_of_device", "device_id", "id"),
)

# which revision of migrations/ these tables are of, as Alembic keeps it
REVISION = Table(
    "alembic_version",
    METADATA,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
