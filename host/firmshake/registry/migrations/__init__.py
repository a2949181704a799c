"""Alembic's environment: how a registry of one version becomes one of the next."""
