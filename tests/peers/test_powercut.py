"""The power goes: what was said to be done is on the disk, and the rest is whole or absent."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support import cuts, desk, fleetdesk, powercut
from support.fleetdesk import Bench
from support.powercut import Journal

from firmshake.ca import bulkfile
from firmshake.registry import Registry

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="programs are watched by what Linux's loader can do"
)

CUTS = 8
SEED = 20261016
# boards of a fleet, and after how many changes the power goes, each time
BOARDS = 2
MOMENTS = (70, 190)
# in this many parts, for as many processes
PARTS = 3
# they cost seconds of a processor, of which there are few for all that is tested beside them
CUTS_LIMIT_S = 2 * desk.LIMIT_S

OLD, NEW = b"old", b"new"
_OPEN = "h = os.open('a', os.O_RDWR); "
_MAKE = "h = os.open('n', os.O_RDWR | os.O_CREAT, 0o600); os.write(h, b'new'); "
_FOLDER = "os.fsync(os.open('.', os.O_RDONLY)); "
_INNER = "os.mkdir('d'); h = os.open('d/n', os.O_RDWR | os.O_CREAT); os.fsync(h); "

Files = Mapping[str, bytes]

# what a program does in a folder with a file `a`; what is there after the power was cut, where a
# disk keeps only what POSIX says, and where it keeps the order of names
ACTS: dict[str, tuple[str, Files, Files]] = {
    "nothing": ("", {"a": OLD}, {"a": OLD}),
    "write": (_OPEN + "os.write(h, b'new')", {"a": OLD}, {"a": OLD}),
    "write, fsync": (_OPEN + "os.write(h, b'new'); os.fsync(h)", {"a": NEW}, {"a": NEW}),
    "write, fdatasync": (_OPEN + "os.write(h, b'new'); os.fdatasync(h)", {"a": NEW}, {"a": NEW}),
    "fsync, write": (_OPEN + "os.fsync(h); os.write(h, b'new')", {"a": OLD}, {"a": OLD}),
    "pwrite": (
        _OPEN + "os.pwrite(h, b'!', 2); os.fsync(h); os.pwrite(h, b'?', 1)",
        {"a": b"ol!"},
        {"a": b"ol!"},
    ),
    "writev": (_OPEN + "os.writev(h, [b'new']); os.fsync(h)", {"a": NEW}, {"a": NEW}),
    "append": (
        "h = os.open('a', os.O_WRONLY | os.O_APPEND); os.write(h, b'1'); os.fsync(h);"
        " os.write(h, b'2')",
        {"a": b"old1"},
        {"a": b"old1"},
    ),
    "truncate": (_OPEN + "os.ftruncate(h, 0)", {"a": OLD}, {"a": OLD}),
    "truncate, fsync": (_OPEN + "os.ftruncate(h, 5); os.fsync(h)", *[{"a": b"old\0\0"}] * 2),
    "O_TRUNC": ("os.open('a', os.O_WRONLY | os.O_TRUNC)", {"a": OLD}, {"a": OLD}),
    "O_TRUNC, fsync": ("os.fsync(os.open('a', os.O_WRONLY | os.O_TRUNC))", *[{"a": b""}] * 2),
    "make": (_MAKE, {"a": OLD}, {"a": OLD}),
    "make, fsync": (_MAKE + "os.fsync(h)", {"a": OLD}, {"a": OLD, "n": NEW}),
    "make, folder": (_MAKE + _FOLDER, *[{"a": OLD, "n": b""}] * 2),
    "make, both": (_MAKE + "os.fsync(h); " + _FOLDER, *[{"a": OLD, "n": NEW}] * 2),
    "rename": ("os.rename('a', 'b')", {"a": OLD}, {"a": OLD}),
    "rename, folder": ("os.rename('a', 'b'); " + _FOLDER, {"b": OLD}, {"b": OLD}),
    "replace": (_MAKE + "os.fsync(h); os.rename('n', 'a'); " + _FOLDER, *[{"a": NEW}] * 2),
    "replace, not synced": (_MAKE + "os.rename('n', 'a'); " + _FOLDER, *[{"a": b""}] * 2),
    "link": ("os.link('a', 'b')", {"a": OLD}, {"a": OLD}),
    "link, folder": ("os.link('a', 'b'); " + _FOLDER, *[{"a": OLD, "b": OLD}] * 2),
    "unlink": ("os.unlink('a')", {"a": OLD}, {"a": OLD}),
    "unlink, folder": ("os.unlink('a'); " + _FOLDER, {}, {}),
    "mkdir": (_INNER + "os.fsync(os.open('d', os.O_RDONLY))", {"a": OLD}, {"a": OLD, "d/n": b""}),
    "mkdir, folder": (_INNER + _FOLDER, {"a": OLD}, {"a": OLD, "d/n": b""}),
}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return powercut.library(tmp_path_factory.mktemp("powercut"))


@pytest.fixture
def journal() -> Iterator[Journal]:
    """Of a folder with a file `a`; in memory, where a sync costs nothing."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        folder = Path(scratch, "watched")
        folder.mkdir()
        (folder / "a").write_bytes(OLD)
        made = Journal(folder, Path(scratch, "log"))
        made.begin()
        yield made


def _run(journal: Journal, library: Path, code: str, *more: str) -> int:
    command = [sys.executable, "-I", "-S", "-c", f"import os, signal, sqlite3, sys; {code}", *more]
    environment = {**os.environ, **journal.environment(library)}
    return subprocess.run(command, cwd=journal.folder, env=environment, check=False).returncode


def _files(folder: Path) -> Files:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("act", ACTS)
def test_what_was_not_synced_is_lost_and_nothing_else(
    journal: Journal, library: Path, act: str
) -> None:
    code, bare, ordered = ACTS[act]
    assert _run(journal, library, code) == 0
    assert journal.unseen() == []
    journal.drop(0)
    assert _files(journal.folder) == bare
    journal.drop(0, ordered=True)
    assert _files(journal.folder) == ordered


def test_a_program_that_is_killed_is_seen_to_its_end(journal: Journal, library: Path) -> None:
    code = "os.write(h, b'new'); os.fsync(h); os.write(h, b'er'); os.kill(os.getpid(), 9)"
    assert _run(journal, library, _OPEN + code) == -signal.SIGKILL
    assert _files(journal.folder) == {"a": b"newer"}
    journal.drop(0)
    assert _files(journal.folder) == {"a": NEW}


def test_of_what_was_not_synced_any_sector_may_be_there(journal: Journal, library: Path) -> None:
    assert _run(journal, library, _OPEN + "os.write(h, b'x' * 2048)") == 0
    found = set()
    for seed in range(1, 200, 2):
        journal.drop(seed)
        (content,) = _files(journal.folder).values()
        journal.drop(seed)
        assert _files(journal.folder) == {"a": content}
        found.add(content)
    sector = b"x" * 512
    assert {OLD, sector * 4} <= found
    assert any(content[:512] != sector and content.endswith(sector) for content in found)
    assert any(content[:512] == sector and len(content) < 2048 for content in found)
    for content in found:
        sectors = {content[at : at + 512] for at in range(512, len(content), 512)}
        assert sectors <= {sector, bytes(512)}


# what is committed is told, once it is
_COMMITS = """
connection = sqlite3.connect("db", isolation_level=None)
connection.execute("PRAGMA synchronous = " + sys.argv[1])
connection.execute("CREATE TABLE rows (at, filler)")
log = os.open(os.environ["FIRMSHAKE_POWERCUT_LOG"], os.O_WRONLY | os.O_APPEND)
for at in range(8):
    connection.execute("BEGIN")
    connection.execute("INSERT INTO rows VALUES (?, ?)", (at, "x" * 3000))
    connection.execute("UPDATE rows SET filler = filler || ? WHERE at % 3 = 0", (str(at),))
    connection.execute("COMMIT")
    os.write(log, bytes.fromhex(sys.argv[2]))
"""


def _after(path: Path, promised: int) -> str:
    """What became of a database in which so many transactions were said to be committed."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return "torn"
            ((count,),) = connection.execute("SELECT count(*) FROM rows").fetchall()
        except sqlite3.DatabaseError:
            return "torn" if promised else "empty"
    return "good" if count in (promised, promised + 1) else "forgotten"


@pytest.mark.parametrize(
    ("synchronous", "wrong"),
    [("EXTRA", set()), ("FULL", {"forgotten"}), ("OFF", {"torn", "forgotten"})],
)
def test_sqlite_keeps_what_it_has_committed_only_with_all_its_syncs(
    journal: Journal, library: Path, synchronous: str, wrong: set[str]
) -> None:
    mark = powercut.marked("committed").hex()
    assert _run(journal, library, f"exec({_COMMITS!r})", synchronous, mark) == 0
    assert journal.unseen() == []
    changes, found = journal.changes(), Counter[str]()
    assert len(powercut.marks(changes)) == 8
    for at in range(0, len(changes), 3):
        for seed, ordered in ((at * 2, False), (at * 2 + 1, False), (at * 2 + 1, True)):
            journal.drop(seed, changes[:at], ordered=ordered)
            found[_after(journal.folder / "db", len(powercut.marks(changes[:at])))] += 1
    assert found["good"] > 10
    assert found.keys() - {"good", "empty"} == wrong


def _cut(journal: Journal, library: Path, *operations: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "support.cuts", str(CUTS), str(SEED), *operations]
    own = {"TMPDIR": str(journal.log.parent), "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(
        command,
        env={**os.environ, **journal.environment(library), **own},
        capture_output=True,
        text=True,
        timeout=CUTS_LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_an_operation_is_on_the_disk_when_it_returns_and_before_that_can_be_done_again(
    journal: Journal, library: Path, part: int
) -> None:
    done = _cut(journal, library, *list(cuts.TRIALS)[part::PARTS])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("control", cuts.CONTROLS)
def test_what_is_not_on_the_disk_would_be_found(
    journal: Journal, library: Path, control: str
) -> None:
    done = _cut(journal, library, control)
    assert done.returncode == 1, done.stderr
    assert cuts.CONTROLS[control] in done.stdout


@dataclass(frozen=True)
class _Watched(Bench):
    """A bench whose commands run with more in their environment."""

    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.more}


def _serials(registry: Registry) -> set[str]:
    return {row.serial_number for row in registry.certificates(kind="device")}


def test_a_fleet_run_whose_power_goes_again_and_again_is_resumed(
    tmp_path: Path, library: Path
) -> None:
    made = desk.make_project(tmp_path / "fleet")
    journal = Journal(made.root, tmp_path / "log")
    arguments = ["run", "--count", str(BOARDS), "--plain"]
    with desk.broker(made), fleetdesk.bench(made, tmp_path / "runtime", BOARDS) as bench:
        for seed, at in enumerate(MOMENTS, 1):
            journal.begin()
            watched = _Watched(made, bench.runtime, more=journal.environment(library, at))
            with watched.running(*arguments, start_new_session=True) as station:
                said = station.communicate(timeout=fleetdesk.LIMIT_S)
            assert station.returncode == -signal.SIGKILL, said
            known = _serials(bench.registry)
            journal.drop(seed)
            # of the transaction that it was in; nobody has that certificate
            assert len(known - _serials(bench.registry)) <= 1
            if bench.registry.last_run() is not None:
                arguments = ["run", "--resume", "--plain"]
        done = bench.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        devices = bench.devices()
        assert [device.state for device in devices] == ["proved"] * BOARDS
        fleetdesk.accounts(bench.registry, devices)
        assert bench.registry.altered() == []


def test_of_a_run_no_line_counts_behind_one_that_did_not_reach_the_disk() -> None:
    first, torn = b'{"first": 1}\n', b'{"second\0\0\0\0\n'
    last = b'{"third": 3}\n'
    assert bulkfile.last_line(io.BytesIO(first + last), 1) == (len(first + last), last[:-1])
    assert bulkfile.last_line(io.BytesIO(first + torn + last), 2) == (len(first), first[:-1])
    assert bulkfile.last_line(io.BytesIO(torn + last), 2) == (0, b"")
