"""A real PostgreSQL server, which takes roles without passwords on a socket in a folder of its own.

It does not run as root: then it is started as nobody, in a folder that is nobody's.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from firmshake import tools
from firmshake.registry import postgresserver

START_LIMIT_S = 60.0
ROLE = "firmshake"
# what a power cut would lose is no matter here
QUICK = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "64",
    "autovacuum": "off",
    "jit": "off",
    "listen_addresses": "",
}


@dataclass(frozen=True)
class Server:
    """A server that runs; its socket is in `folder`, and its log beside it."""

    folder: Path

    def url(self, database: str, role: str = ROLE) -> str:
        """Return the URL of a database."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.folder))}"

    @contextlib.contextmanager
    def database(self, name: str) -> Iterator[str]:
        """Make an empty database, and yield its URL."""
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield self.url(name)
        finally:
            postgresserver.disconnect()
            gone = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            self._run(gone.format(sql.Identifier(name)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextlib.contextmanager
def postgres(**settings: str) -> Iterator[Server]:
    """A server that is ready, with these settings besides the quick ones."""
    programs = tools.postgresql()
    # not in the tests' own folder, whose parents are closed to others, and whose path is too long
    # for a socket
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = _unprivileged(folder)
    try:
        data = folder / "data"
        started = {
            "env": {**os.environ, **programs.environment(), "LC_ALL": "C"},
            "cwd": folder,
            "stdin": subprocess.DEVNULL,
            **user,
        }
        make = [programs.programs / "initdb", "--no-sync", "--auth=trust", "-E", "UTF8"]
        make += ["--no-locale", "-U", ROLE, "-D", data]
        subprocess.run(make, check=True, capture_output=True, **started)
        values = [f"-c{name}={value}" for name, value in {**QUICK, **settings}.items()]
        serve = [programs.programs / "postgres", "-D", data, "-k", folder, *values]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(serve, stdout=log, stderr=log, **started)
            try:
                yield _ready(Server(folder), process)
            finally:
                # SIGINT: it ends what is under way, and stops
                process.send_signal(2)
                process.wait(START_LIMIT_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, int]:
    """How to start a program that refuses to be root, and whose the folder is then."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid}


def _ready(server: Server, process: subprocess.Popen[bytes]) -> Server:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            psycopg.connect(server.url("postgres")).close()
        except psycopg.OperationalError:
            text = (server.folder / "log").read_text()
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        else:
            return server
