"""`firmshake init --registry URL`: a project whose registry is in a real PostgreSQL at once."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from support import desk
from support.commands import FD, Done, run
from support.postgres import ROLE, Server

from firmshake import project, staging
from firmshake.registry import Registry, open_for

SECRETS = (desk.PASSPHRASE,)


def init(folder: Path, url: str, secrets: tuple[bytes, ...] = SECRETS) -> Done:
    words = ("--broker", "mqtt.example", "--registry", url, "--passphrase-fd", FD)
    return run("init", folder, *words, secrets=secrets)


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row[0] for row in rows}


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_project_has_its_registry_there_and_no_file_of_it(
    tmp_path: Path, postgres_url: str, exists: bool
) -> None:
    folder = tmp_path / "shed"
    if exists:
        folder.mkdir()
    done = init(folder, postgres_url)
    assert done.status == 0, done.message
    assert f"registry     in PostgreSQL: {postgres_url}" in done.out
    made = project.load(folder)
    assert made.registry_at == postgres_url
    assert not [name for name in entries(folder) if "sqlite" in name or "firmshake-" in name]
    registry = open_for(made)
    project.check_authority(made, registry)
    assert registry.altered() == []
    kinds = [row.kind for row in registry.certificates()]
    assert sorted(kinds) == ["broker", "intermediate", "root"]
    # the same as of a project that has moved there, but for the comments of fleet.toml
    plain = run(
        "init", tmp_path / "plain", "--broker", "mqtt.example", "--passphrase-fd", FD,
        "--name", "shed", secrets=SECRETS,
    )  # fmt: skip
    assert plain.status == 0
    assert {*entries(tmp_path / "plain")} - {*entries(folder)} == {"registry.sqlite"}
    said = [tomllib.loads((one / "fleet.toml").read_text()) for one in (folder, tmp_path / "plain")]
    assert said[0] == said[1] | {"registry": {"url": postgres_url}}


def test_the_ca_works_on_from_there(tmp_path: Path, postgres_url: str) -> None:
    assert init(tmp_path / "shed", postgres_url).status == 0
    here = ("--project", tmp_path / "shed")
    for words in (("ca", "issue", "gate", "--out", tmp_path / "out"), ("ca", "crl")):
        done = run(*words, *here, "--passphrase-fd", FD, secrets=SECRETS)
        assert done.status == 0, done.message
    done = run("ca", "audit", *here)
    assert done.status == 0, done.out + done.err
    said = json.loads(run("registry", "show", *here, "--json").out)
    assert said["where"].startswith("postgresql://")
    assert said["rows"]["certificates"] == 4


def test_a_database_that_will_not_do_is_told_before_anything_is_asked_or_made(
    tmp_path: Path, postgres_server: Server, postgres_url: str
) -> None:
    Registry.create(postgres_url)
    before = tables(postgres_url)
    for url, words in (
        (postgres_url, "holds tables already"),
        (postgres_server.url("nowhere"), "does not exist"),
        ("postgresql://me:s3cret-word@db.example/fleet", "must not hold a password"),
        ("postgresql://me@db.example/fleet?password=s3cret-word", "must not hold a password"),
        ("mysql://me@db.example/fleet", "not the URL of a PostgreSQL database"),
    ):
        # no passphrase is there to be read: that would be another error
        done = init(tmp_path / "shed", url, secrets=())
        assert words in done.message
        assert "s3cret" not in f"{done.out}{done.err}{done.message}{done.hint}"
        assert entries(tmp_path) == []
    assert tables(postgres_url) == before


def test_a_role_that_may_not_make_tables_leaves_no_folder(
    tmp_path: Path, postgres_url: str
) -> None:
    role = f"guest_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("REVOKE CREATE ON SCHEMA public FROM public")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        try:
            done = init(tmp_path / "shed", postgres_url.replace(f"{ROLE}@", f"{role}@"))
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert "not accessible to this role" in done.message
    assert (entries(tmp_path), tables(postgres_url)) == ([], set())


def test_where_the_folder_fails_last_it_is_said_what_is_left(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(staging, "_sync", refuse)
        done = init(tmp_path / "shed", postgres_url)
    assert f"the database has this project's registry already: {postgres_url}" in done.message
    assert "createdb" in done.hint
    assert entries(tmp_path) == []
    # as the hint says: emptied, it will do
    assert "holds tables already" in init(tmp_path / "shed", postgres_url).message
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    assert init(tmp_path / "shed", postgres_url).status == 0
