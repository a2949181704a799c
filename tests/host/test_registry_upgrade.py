"""A registry of an older firmshake, and how it is brought up to date."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from support.commands import run

from firmshake.errors import Error
from firmshake.registry import Registry, place, sqlitefile, upgrading
from firmshake.registry.schema import VERSION

FLEET = 'name = "shed"\n[broker]\nhost = "192.0.2.1"\n'


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A registry of version 2, with a device in it: it knew nothing of Alembic."""
    path = tmp_path / "registry.sqlite"
    database = sqlitefile.made(path)
    with database.transaction() as connection:
        upgrading.migrate(database, connection, 2)
        connection.exec_driver_sql("DROP TABLE alembic_version")
        connection.exec_driver_sql(
            "INSERT INTO devices (device_id, state, created_at, changed_at)"
            " VALUES ('pump', 'proved', '2026-05-04T03:02:01+00:00', '2026-05-04T03:02:01+00:00')"
        )
    (tmp_path / "fleet.toml").write_text(FLEET)
    return path


def user_version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        return int(raw.execute("PRAGMA user_version").fetchone()[0])


def test_an_older_registry_is_left_alone_until_it_is_upgraded(old: Path) -> None:
    before = old.read_bytes()
    with pytest.raises(Error, match="of version 2, and this firmshake needs 3") as caught:
        Registry.open(old)
    assert "firmshake registry upgrade" in caught.value.hint
    assert old.read_bytes() == before


def test_an_upgrade_keeps_what_there_is_and_makes_what_a_new_one_has(old: Path) -> None:
    done = run("registry", "upgrade", "--project", old.parent)
    assert done.status == 0
    assert "of version 3 now" in done.out
    registry = Registry.open(old)
    assert [one.device_id for one in registry.devices()] == ["pump"]
    assert registry.altered() == []
    assert user_version(old) == VERSION
    again = run("registry", "upgrade", "--project", old.parent)
    assert (again.status, again.out) == (0, "")


def test_migrations_make_the_same_tables_as_a_new_registry(tmp_path: Path) -> None:
    database = sqlitefile.made(tmp_path / "migrated.sqlite")
    with database.transaction() as connection:
        upgrading.migrate(database, connection)
    migrated, new = Registry.open(database.location), Registry.create(tmp_path / "new.sqlite")
    assert migrated.altered() == new.altered() == []
    assert place.counts(migrated._database) == place.counts(new._database)


def test_an_upgrade_that_fails_changes_nothing(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as raw:
        raw.execute("CREATE TABLE claims (theirs)")
    before = old.read_bytes()
    assert run("registry", "upgrade", "--project", old.parent).status == 1
    assert old.read_bytes() == before


@pytest.mark.parametrize("version", [1, VERSION + 1])
def test_what_no_migration_knows_is_refused(old: Path, version: int) -> None:
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as raw:
        raw.execute(f"PRAGMA user_version = {version}")
    assert f"of version {version}" in run("registry", "upgrade", "--project", old.parent).message


def test_an_older_registry_can_be_looked_at(old: Path) -> None:
    done = run("registry", "show", "--project", old.parent)
    assert str(old) in done.out
    assert "version 2" in done.out
    assert "needs version 3" in done.err
    said = json.loads(run("registry", "show", "--project", old.parent, "--json").out)
    assert (said["version"], said["needs"], said["rows"]["devices"]) == (2, 3, 1)
