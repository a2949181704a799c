"""The tables of version 2: devices, certificates, revocation lists, the log and the history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = None

_LOG = {
    "sqlite": [
        "CREATE TRIGGER log_no_update BEFORE UPDATE ON log"
        " BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END",
        "CREATE TRIGGER log_no_delete BEFORE DELETE ON log"
        " BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'the log is append-only'; END$$",
        "CREATE TRIGGER log_no_update BEFORE UPDATE ON log"
        " FOR EACH STATEMENT EXECUTE FUNCTION log_is_append_only()",
        "CREATE TRIGGER log_no_delete BEFORE DELETE ON log"
        " FOR EACH STATEMENT EXECUTE FUNCTION log_is_append_only()",
        "CREATE TRIGGER log_no_truncate BEFORE TRUNCATE ON log"
        " FOR EACH STATEMENT EXECUTE FUNCTION log_is_append_only()",
    ],
}


def _key(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _make_devices()
    _make_certificates()
    _make_deliveries()
    _make_log()
    op.create_table(
        "history",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", _key(32), nullable=False),
        sa.Column("device_id", _key(64), sa.ForeignKey("devices.device_id"), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("verdict", sa.String(200)),
        sa.Column("serial_number", sa.String(40), sa.ForeignKey("certificates.serial_number")),
        sa.Column("unique_id", sa.String(64)),
    )
    op.create_index("history_of_device", "history", ["device_id", "id"])


def _make_devices() -> None:
    op.create_table(
        "devices",
        sa.Column("device_id", _key(64), primary_key=True),
        sa.Column("unique_id", _key(64)),
        sa.Column("chip", sa.String(64)),
        sa.Column("firmware", sa.String(200)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("verdict", sa.String(200)),
        sa.Column("created_at", _key(32), nullable=False),
        sa.Column("changed_at", _key(32), nullable=False),
    )
    op.create_index("ix_devices_unique_id", "devices", ["unique_id"])


def _make_certificates() -> None:
    op.create_table(
        "certificates",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("serial_number", sa.String(40), nullable=False, unique=True),
        sa.Column("fingerprint_sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("device_id", _key(64), sa.ForeignKey("devices.device_id")),
        sa.Column("issuer", sa.String(64), nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
        sa.Column("not_before", _key(32), nullable=False),
        sa.Column("not_after", _key(32), nullable=False),
        sa.Column("issued_at", _key(32), nullable=False),
        sa.Column("revoked_at", _key(32)),
        sa.Column("reason", sa.String(32)),
    )
    op.create_index("certificates_of_device", "certificates", ["device_id", "id"])
    op.create_index("ix_certificates_not_after", "certificates", ["not_after"])
    for name, column, condition in (
        ("certificates_revoked", "issuer", "revoked_at IS NOT NULL"),
        ("certificates_of_others", "kind", "device_id IS NULL"),
    ):
        where = sa.text(condition)
        op.create_index(
            name, "certificates", [column, "id"], sqlite_where=where, postgresql_where=where
        )


def _make_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("prefix", sa.String(64)),
        sa.Column("first", sa.Integer),
        sa.Column("last", sa.Integer),
        sa.Column("began_at", _key(32), nullable=False),
    )
    op.create_table(
        "undelivered",
        sa.Column(
            "serial_number",
            sa.String(40),
            sa.ForeignKey("certificates.serial_number"),
            primary_key=True,
        ),
        sa.Column("delivery", sa.Integer, sa.ForeignKey("deliveries.id"), nullable=False),
    )


def _make_log() -> None:
    op.create_table(
        "crls",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("issuer", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("this_update", _key(32), nullable=False),
        sa.Column("next_update", _key(32), nullable=False),
        sa.UniqueConstraint("issuer", "number"),
    )
    op.create_table(
        "log",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    for text in _LOG[op.get_bind().dialect.name]:
        op.execute(text)
