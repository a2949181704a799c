"""What a PostgreSQL schema is made of, as its catalogue tells it, and as it should be.

Only reading is needed, so any role that may read the catalogue, which is all, can ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import (
    Column,
    Connection,
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import Constraint, CreateIndex

from firmshake.registry.schema import LOG_FUNCTION, LOG_TRIGGERS, tables_for

Named = tuple[str, str]

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no annotations

# each gives kind, name and text (PostgreSQL documentation, chapter 53)
_QUERIES = (
    # tables, and what might stand in the place of one
    """SELECT CASE WHEN relkind = 'r' AND relpersistence = 'p' THEN 'table' ELSE 'view' END,
              relname, ''
         FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace
          AND relkind NOT IN ('i', 'I', 'S', 'c', 't')""",
    """SELECT 'column', relname || '.' || attname,
              format_type(atttypid, atttypmod)
              || CASE WHEN collname = 'C' THEN ' collate c' ELSE '' END
              || CASE WHEN attnotnull THEN ' not null' ELSE '' END
              || coalesce(' default ' || split_part(pg_get_expr(adbin, adrelid), '(', 1), '')
         FROM pg_attribute
         JOIN pg_class c ON c.oid = attrelid AND relkind = 'r'
         LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         LEFT JOIN pg_collation l ON l.oid = attcollation
        WHERE relnamespace = current_schema()::regnamespace
          AND attnum > 0 AND NOT attisdropped""",
    # of PostgreSQL 18 on, NOT NULL is one of them, too: it is told of the column
    """SELECT 'constraint', relname || ': ' || pg_get_constraintdef(n.oid),
              CASE WHEN convalidated THEN '' ELSE 'not valid' END
         FROM pg_constraint n JOIN pg_class c ON c.oid = conrelid
        WHERE relnamespace = current_schema()::regnamespace AND contype <> 'n'""",
    """SELECT 'index', relname, pg_get_indexdef(indexrelid)
         FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        WHERE relnamespace = current_schema()::regnamespace
          AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)""",
    """SELECT 'trigger', tgname, pg_get_triggerdef(t.oid)
              || CASE WHEN tgenabled = 'O' THEN '' ELSE ' disabled' END
         FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
        WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal""",
    """SELECT 'function', proname, prosrc FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace""",
    """SELECT 'rule', rulename, pg_get_ruledef(r.oid)
         FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
        WHERE relnamespace = current_schema()::regnamespace AND rulename <> '_RETURN'""",
    """SELECT 'policy', polname, '' FROM pg_policy JOIN pg_class c ON c.oid = polrelid
        WHERE relnamespace = current_schema()::regnamespace""",
)


def found(connection: Connection) -> dict[Named, str]:
    """Return what was made, under its kind and name; spaces and quotes don't count."""
    rows = [row for query in _QUERIES for row in connection.execute(text(query))]
    return {(kind, _plain(name)): _plain(what) for kind, name, what in rows}


def as_made() -> dict[Named, str]:
    """Return what firmshake makes."""
    return {(kind, _plain(name)): _plain(what) for kind, name, what in _made()}


def _made() -> Iterator[tuple[str, str, str]]:
    for table in tables_for("postgresql").sorted_tables:
        yield "table", table.name, ""
        for column in table.columns:
            yield "column", f"{table.name}.{column.name}", _column(table, column)
        for constraint in table.constraints:
            yield "constraint", f"{table.name}: {_constraint(constraint)}", ""
        for index in table.indexes:
            yield "index", str(index.name), str(CreateIndex(index).compile(dialect=_DIALECT))
    for name, what in LOG_TRIGGERS["postgresql"].items():
        yield "trigger", name, what
    yield "function", "log_is_append_only", LOG_FUNCTION


def _column(table: Table, column: Column[object]) -> str:
    kind = column.type.compile(dialect=_DIALECT).lower().replace("varchar", "character varying")
    numbered = column is table.autoincrement_column
    return (
        kind + ("" if column.nullable else " not null") + (" default nextval" if numbered else "")
    )


def _constraint(constraint: Constraint) -> str:
    if isinstance(constraint, ForeignKeyConstraint):
        columns = ", ".join(constraint.column_keys)
        to = ", ".join(element.column.name for element in constraint.elements)
        return f"FOREIGN KEY ({columns}) REFERENCES {constraint.referred_table.name}({to})"
    assert isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint)
    kind = "PRIMARY KEY" if isinstance(constraint, PrimaryKeyConstraint) else "UNIQUE"
    return f"{kind} ({', '.join(column.name for column in constraint.columns)})"


def _plain(what: str) -> str:
    """A text without what is a matter of spelling: quotes, schemas, parentheses of a condition."""
    short = re.sub(r"( ON | REFERENCES )\w+\.(?=\w)", r"\1", what.replace('"', ""))
    short = short.replace(" USING btree", "")
    short = re.sub(r" WHERE \((.*)\)$", r" WHERE \1", short)
    return " ".join(short.split())
