"""A registry in a real PostgreSQL: its rights, its failures, and the way there from a file."""

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from support import desk
from support.boardtools import wait_until
from support.commands import FD, run
from support.postgres import Server, postgres

from firmshake import project
from firmshake.errors import Error
from firmshake.fleet.planned import Planned
from firmshake.project import Project
from firmshake.registry import Claim, Registry, Unavailable, open_for
from firmshake.registry import place as places

NOW = datetime.now(UTC)
# have a connection's process ended, and gone when that returns; waited for in ms
END = "pg_terminate_backend(pid, 60000)"


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement))


# its schema


def test_the_tables_are_those_that_firmshake_makes(postgres_url: str) -> None:
    assert Registry.create(postgres_url).altered() == []
    assert Registry.open(postgres_url).altered() == []


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE log DISABLE TRIGGER log_no_update", "trigger log_no_update is not as"),
        ("DROP TRIGGER log_no_truncate ON log", "lacks the trigger log_no_truncate"),
        (
            "CREATE OR REPLACE FUNCTION log_is_append_only() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'",
            "function log_is_append_only is not as",
        ),
        ("CREATE RULE r AS ON INSERT TO devices DO INSTEAD NOTHING", "has a rule r"),
        ("CREATE POLICY p ON crls", "has a policy p"),
        ("ALTER TABLE slots DROP CONSTRAINT slots_run_device_id_key", "lacks the constraint slots"),
        ("ALTER TABLE crls ALTER number TYPE text", "column crls.number is not as"),
        ("DROP INDEX certificates_revoked", "lacks the index certificates_revoked"),
        ("CREATE TABLE more (a int)", "has a table more"),
        ("ALTER TABLE diagnoses SET UNLOGGED", "lacks the table diagnoses"),
    ],
)
def test_what_was_altered_shows(postgres_url: str, statement: str, words: str) -> None:
    registry = Registry.create(postgres_url)
    execute(postgres_url, statement)
    assert any(words in one for one in registry.altered()), registry.altered()


def test_not_even_a_truncate_empties_the_log(postgres_url: str) -> None:
    Registry.create(postgres_url)
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        execute(postgres_url, "TRUNCATE log")


def test_a_database_with_tables_is_left_alone(postgres_url: str) -> None:
    execute(postgres_url, "CREATE TABLE theirs (a int)")
    with pytest.raises(Error, match="holds tables already"):
        Registry.create(postgres_url)
    with pytest.raises(Error, match="is not a registry"):
        Registry.open(postgres_url)


def test_a_role_needs_no_more_rights_than_the_documents_say(postgres_url: str) -> None:
    """The tables' owner is another: docs/registry.md has this text."""
    documented = (Path(__file__).parents[2] / "docs/registry.md").read_text()
    grants = documented.split("```sql\n")[1].split("```")[0]
    Registry.create(postgres_url)
    role = f"station_{os.getpid()}"
    execute(postgres_url, f"CREATE ROLE {role} LOGIN")
    try:
        for line in filter(None, grants.replace("stations", role).split(";\n")):
            if "CREATE ROLE" not in line and "ON DATABASE" not in line:
                execute(postgres_url, line)
        registry = Registry.open(postgres_url.replace("firmshake@", f"{role}@"))
        run = registry.plan("n", "d", "m", [Planned("pump-1")])
        claim = registry.claim(
            run.id, unique_id="u", boards=[], station="s", session="s", lease_s=60
        )
        assert isinstance(claim, Claim)
        registry.set_state("pump-1", "failed", token=claim.token)
        registry.release(claim, "failed")
        registry.number_crl("a", NOW, NOW)
        assert registry.altered() == []
        with (
            pytest.raises(Error, match="not accessible to this role"),
            registry._database.transaction() as connection,
        ):
            connection.execute(text("DROP TABLE history"))
    finally:
        execute(postgres_url, f"DROP OWNED BY {role}")
        execute(postgres_url, f"DROP ROLE {role}")


# what can go wrong


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is not reachable: .*No such file") as caught:
        Registry.open(f"postgresql://somebody@/fleet?host={tmp_path}")
    assert "~/.pgpass" in caught.value.hint


def test_a_database_that_is_not_there_is_an_error(postgres_server: Server) -> None:
    with pytest.raises(Error, match="is not reachable: .*does not exist"):
        Registry.open(postgres_server.url("nowhere"))


@pytest.mark.parametrize(
    "url", ["postgresql://me:s3cret-word@h/db", "postgresql://me@h/db?password=s3cret-word"]
)
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Error, match="must not hold a password") as caught:
        Registry.open(url)
    assert ".pgpass" in caught.value.hint
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def test_a_connection_that_the_server_ended_is_made_anew(postgres_url: str) -> None:
    registry = Registry.create(postgres_url)
    registry.set_state("pump", "planned")
    execute(
        postgres_url,
        f"SELECT {END} FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database()",
    )
    assert registry.device("pump")


def test_a_connection_that_ends_amid_a_transaction_is_an_error_and_changes_nothing(
    postgres_url: str,
) -> None:
    registry = Registry.create(postgres_url)

    def broken_off() -> None:
        with registry._database.transaction() as connection:
            row = "INSERT INTO runs (name, slots, created_at) VALUES ('a', 0, 'b')"
            connection.execute(text(row))
            execute(
                postgres_url,
                f"SELECT {END} FROM pg_stat_activity"
                " WHERE state LIKE 'idle in%' AND datname = current_database()",
            )
            connection.execute(text("SELECT 1"))

    with pytest.raises(Unavailable, match="shutting down|not reachable|no longer connected"):
        broken_off()
    assert registry.runs() == []


def test_a_forked_process_makes_its_own_connection(postgres_url: str) -> None:
    registry = Registry.create(postgres_url)
    registry.set_state("pump", "planned")
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            registry.set_state("lamp", "planned")
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    registry.set_state("pump", "issued")
    assert [one.device_id for one in registry.devices()] == ["lamp", "pump"]


def test_a_text_that_postgresql_does_not_take_is_an_error(postgres_url: str) -> None:
    registry = Registry.create(postgres_url)
    with pytest.raises(Error, match="not able to keep that") as caught:
        registry.set_state("pump", "failed", "v" * 300)
    # nothing that passes
    assert not isinstance(caught.value, Unavailable)
    assert registry.devices() == []


def test_a_table_that_another_has_locked_is_in_use(postgres_url: str) -> None:
    Registry.create(postgres_url)
    impatient = Registry.open(f"{postgres_url}&options=-c%20lock_timeout%3D50ms")
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE devices")
        with pytest.raises(Unavailable, match="in use by another process"):
            impatient.set_state("pump", "planned")
        other.rollback()
        impatient.set_state("pump", "planned")


# the way there


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has issued, revoked and planned."""
    made = desk.make_project(tmp_path_factory.mktemp("pattern") / "shed", wifi=None)
    registry, authority = open_for(made), desk.authority(made)
    for name in ("pump", "lamp"):
        registry.record_issued(name, authority.issue(name, now=NOW).certificate, unique_id=name)
    registry.record_issued("pump", authority.issue("pump", now=NOW).certificate)
    registry.set_state("pump", "written")
    run = registry.plan("n", "d", "m", [Planned("pump"), Planned("x-{unique_id}")])
    registry.claim(run.id, unique_id="u1", boards=[], station="s", session="s", lease_s=1e6)
    return made


@pytest.fixture
def made(pattern: Project, tmp_path: Path) -> Project:
    return project.load(Path(shutil.copytree(pattern.root, tmp_path / "shed")))


def test_a_registry_moves_with_all_that_is_in_it(made: Project, postgres_url: str) -> None:
    before = open_for(made)
    had = (before.devices(), list(before.log()), list(before.bodies()), before.status())
    counts = places.counts(places.found(made.registry_path))
    done = run("registry", "move", postgres_url, "--project", made.root)
    assert done.status == 0, done.message
    moved = project.load(made.root)
    assert moved.registry_url == postgres_url
    assert not moved.registry_path.exists()
    assert (made.root / "registry.sqlite.moved").exists()
    after = open_for(moved)
    assert (after.devices(), list(after.log()), list(after.bodies()), after.status()) == had
    assert places.counts(places.found(postgres_url)) == counts
    # it can be written, with new numbers
    identity = desk.authority(moved).issue("new", now=datetime.now(UTC))
    after.record_issued("new", identity.certificate)
    after.open_run("bench", "p-{number}", None)
    assert [one.state for one in after.history("new")] == ["issued"]


def test_the_ca_works_on_in_postgresql(made: Project, postgres_url: str) -> None:
    assert run("registry", "move", postgres_url, "--project", made.root).status == 0
    here = ("--project", made.root, "--passphrase-fd", FD)
    secrets = (desk.PASSPHRASE,)
    out = made.root.parent / "out"
    done = run("ca", "issue", "gate", "--out", out, *here, secrets=secrets)
    assert done.status == 0, done.message
    done = run("ca", "revoke", "gate", "--yes", *here, "--reason", "keyCompromise", secrets=secrets)
    assert done.status == 0, done.message
    done = run("ca", "audit", "--project", made.root)
    assert done.status == 0, done.out + done.err
    shown = run("registry", "show", "--project", made.root, "--json")
    said = json.loads(shown.out)
    assert said["where"].startswith("postgresql://")
    assert said["rows"]["certificates"] == 7


def test_a_second_move_is_refused(made: Project, postgres_url: str) -> None:
    assert run("registry", "move", postgres_url, "--project", made.root).status == 0
    again = run("registry", "move", postgres_url, "--project", made.root)
    assert "in PostgreSQL already" in again.message


def _broken_log(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DROP TRIGGER log_no_update")
        raw.execute("UPDATE log SET entry = replace(entry, 'pump', 'pomp')")


def _full(url: str) -> None:
    execute(url, "CREATE TABLE theirs (a int)")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda made, url: _broken_log(made.registry_path), "the log does not hold"),
        (lambda made, url: _full(url), "holds tables already"),
        (lambda made, url: (made.root / "registry.sqlite.moved").touch(), "is there already"),
    ],
)
def test_a_move_that_fails_changes_nothing(
    made: Project, postgres_url: str, harm: Callable[[Project, str], None], words: str
) -> None:
    harm(made, postgres_url)
    before = (made.root / "fleet.toml").read_bytes(), made.registry_path.read_bytes()
    done = run("registry", "move", postgres_url, "--project", made.root)
    assert words in done.message
    assert ((made.root / "fleet.toml").read_bytes(), made.registry_path.read_bytes()) == before
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT 1 FROM pg_tables WHERE tablename = 'devices'").fetchone()
    assert found is None


def is_open(url: str) -> bool:
    """Whether the server lets somebody in with any password."""
    try:
        psycopg.connect(url, password="any").close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_password_is_taken_from_a_file_of_passwords(
    made: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asks for one: with the right one all works, and it is said nowhere."""
    word = "a-word-that-nobody-sees"
    with postgres() as server, server.database("fleet") as url:
        execute(
            url,
            f"CREATE ROLE station LOGIN PASSWORD '{word}'; GRANT ALL ON SCHEMA public TO station",
        )
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text("local all station scram-sha-256\nlocal all all trust\n")
        theirs = server.url("fleet", "station")
        execute(url, "SELECT pg_reload_conf()")
        # the server has been told; it does so in its own time
        wait_until(lambda: not is_open(theirs))
        passwords = tmp_path / "pgpass"
        monkeypatch.setenv("PGPASSFILE", str(passwords))
        for content, status in (("*:*:*:*:wrong-one", 1), (f"*:*:*:*:{word}", 0)):
            passwords.write_text(f"{content}\n")
            passwords.chmod(0o600)
            done = run("registry", "move", theirs, "--project", made.root)
            assert done.status == status, done.error
            said = f"{done.out}{done.err}{done.error}"
            assert word not in said
            assert "wrong-one" not in said
        assert word not in (made.root / "fleet.toml").read_text()
