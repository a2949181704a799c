"""What several of these tests share: a PostgreSQL server, and registries in it and in files."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.postgres import Server, postgres

from firmshake.registry import Registry

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class Clock:
    """A clock that is a minute further at each look."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """The URL of a new, empty database."""
    with postgres_server.database(f"t{secrets.token_hex(6)}") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new registry may be made, in each of the databases."""
    if request.param == "sqlite":
        return tmp_path / "registry.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def registry(place: Path | str) -> Registry:
    """A new registry, in each of the databases."""
    return Registry.create(place, Clock())
