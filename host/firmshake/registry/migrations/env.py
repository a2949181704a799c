"""Run by Alembic: it works in the transaction that firmshake.registry.upgrade has begun."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
