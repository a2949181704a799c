"""The tables of version 3: a fleet's runs, their slots, claims on them, and what boards report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def _key(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables, and an index to count devices by."""
    op.create_index("devices_by_state", "devices", ["state", "verdict"])
    _make_runs()
    _make_slots()
    _make_claims()
    _make_diagnoses()


def _make_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", _key(64), unique=True),
        sa.Column("manifest", sa.Text),
        sa.Column("wanted", sa.Integer),
        sa.Column("rule", sa.String(200)),
        sa.Column("slots", sa.Integer, nullable=False),
        sa.Column("created_at", _key(32), nullable=False),
        sa.Column("ended_at", _key(32)),
    )
    op.create_table(
        "numbers",
        sa.Column("rule", _key(200), primary_key=True),
        sa.Column("last", sa.Integer, nullable=False),
    )


def _make_slots() -> None:
    op.create_table(
        "slots",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.Integer, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("id_rule", sa.String(200), nullable=False),
        sa.Column("device_id", _key(64)),
        sa.Column("wanted_unique_id", _key(64)),
        sa.Column("board", _key(64)),
        sa.Column("profile", sa.String(64)),
        sa.Column("unique_id", _key(64)),
        sa.Column("status", _key(8), nullable=False),
        sa.Column("changed_at", _key(32), nullable=False),
        sa.UniqueConstraint("run", "device_id"),
    )
    op.create_index("slots_of_run", "slots", ["run", "id"])
    op.create_index("slots_by_status", "slots", ["run", "status"])
    free = ["run", "status", "wanted_unique_id", "unique_id", "board", "id"]
    op.create_index("slots_free", "slots", free)
    had = ["run", "status", "wanted_unique_id", "board", "changed_at", "id"]
    for name, board, columns in (
        ("slots_bound", "unique_id", ["run", "unique_id"]),
        ("slots_wanting", "wanted_unique_id", ["run", "wanted_unique_id"]),
        ("slots_had", "unique_id", had),
    ):
        where = sa.text(f"{board} IS NOT NULL")
        op.create_index(name, "slots", columns, sqlite_where=where, postgresql_where=where)


def _make_claims() -> None:
    op.create_table(
        "claims",
        sa.Column("device_id", _key(64), sa.ForeignKey("devices.device_id"), primary_key=True),
        sa.Column("unique_id", _key(64), nullable=False, unique=True),
        sa.Column("slot", sa.Integer, sa.ForeignKey("slots.id"), nullable=False, unique=True),
        sa.Column("run", sa.Integer, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("station", _key(200), nullable=False),
        sa.Column("session", _key(64), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_index("ix_claims_session", "claims", ["session"])
    op.create_index("claims_by_expiry", "claims", ["expires_at", "run", "station"])


def _make_diagnoses() -> None:
    op.create_table(
        "diagnoses",
        sa.Column("device_id", _key(64), sa.ForeignKey("devices.device_id"), primary_key=True),
        sa.Column("at", _key(32)),
        sa.Column("stage", _key(64), nullable=False),
        sa.Column("verdict", sa.String(200), nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
    )
    op.create_index("diagnoses_by_stage", "diagnoses", ["stage", "verdict"])
