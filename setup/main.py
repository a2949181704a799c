"""`make setup`: a virtual environment in `.venv` and programs in `.tools`, made once.

setup/run.sh starts it, with any Python from 3.11; no package is needed. What was done is stamped
with the contents of everything that decides it, so that a second run starts nothing and needs no
network.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import environment
import peers
import programs
from firmshake import toolfolder
from firmshake.errors import Error
from progress import fault, say, stop

SOURCE = Path(__file__).resolve().parent.parent
VENV = SOURCE / ".venv"
TOOLS = SOURCE / ".tools"
STAMP = ".stamp"
VENV_DEPENDS = (
    "setup/main.py",
    "setup/environment.py",
    "requirements/build.txt",
    "requirements/dev.txt",
    *(f"requirements/stubs-{board}.txt" for board in environment.STUBS),
    "pyproject.toml",
)
TOOLS_DEPENDS = (
    "setup/main.py",
    "setup/programs.py",
    "setup/peers.py",
    "setup/archive.py",
    "host/firmshake/debian.py",
    "host/firmshake/tools.py",
    "host/firmshake/toolfolder.py",
)
TESTS = ("micropython32", "softhsm2", "rabbitmq", "gnomekeyring", "postgresql")
# what is fetched only where it is asked for: a demonstration needs none of it
EXTRA = {
    "wide": ("micropython32",),
    "tests": TESTS,
    "benches": (*TESTS, "easyrsa", "cfssl"),
}


def main() -> int:
    """Set up what is missing; returns the exit status."""
    parser = argparse.ArgumentParser(description="make .venv and .tools of this source folder")
    for name in EXTRA:
        parser.add_argument(f"--{name}", dest="extra", action="append_const", const=name)
    extra = {one for name in parser.parse_args().extra or () for one in EXTRA[name]}
    try:
        with _only_one():
            return _set_up(extra)
    except Error as error:
        stop(error.message, error.hint)
        return 1
    except OSError as error:
        problem = fault(error, str(SOURCE))
        stop(problem.message, problem.hint)
        return 1
    except KeyboardInterrupt:
        stop("interrupted", "repeat it to go on; nothing was left half done")
        return 130


def _set_up(extra: set[str]) -> int:
    with_venv = not (_is_done(VENV, _venv_stamp()) and (VENV / "bin/python").exists())
    noted = _noted()
    # what was asked for once stays
    extra |= noted.keys() & {*EXTRA["benches"]}
    current = noted if _is_done(TOOLS, _tools_stamp()) else {}
    with_tools = not {*programs.PACKAGES, *extra} <= current.keys()
    if not (with_venv or with_tools):
        return 0
    with _scratch(TOOLS) as work:
        source = programs.Source(work)
        if with_venv:
            environment.provide(SOURCE, VENV, lambda: programs.pip_wheel(source, work))
            _write_stamp(VENV, _venv_stamp())
        failures = _programs(source, work, current, extra) if with_tools else []
    for error in failures:
        stop(error.message, error.hint)
    if not failures:
        say("done")
    return 1 if failures else 0


def _programs(
    source: programs.Source, work: Path, current: dict[str, list[str]], extra: set[str]
) -> list[Error]:
    """Get what is missing of the programs; what is asked for besides may fail, one by one."""
    found = programs.provide(TOOLS, source, work, current)
    failures: dict[str, Error] = {}
    for name in sorted(extra - found.keys()):
        try:
            if name == "micropython32":
                found |= programs.narrow(TOOLS, source, work)
            else:
                found |= peers.provide(name, TOOLS, source, work)
        except Error as error:
            # for one reason many fail
            failures[error.message] = error
    toolfolder.write_manifest(TOOLS, found)
    _write_stamp(TOOLS, _tools_stamp())
    return list(failures.values())


def _noted() -> dict[str, list[str]]:
    """The programs noted that still exist: one from PATH may have been removed since."""
    try:
        noted = toolfolder.read_manifest(TOOLS)
    except Error:
        return {}
    return {name: command for name, command in noted.items() if _exists(command)}


def _exists(command: Iterable[str]) -> bool:
    parts = [piece for part in command for piece in part.split(":")]
    return all(Path(piece).exists() for piece in parts if piece.startswith("/"))


def _venv_stamp() -> str:
    return environment.python_identity(VENV) + _digest(VENV_DEPENDS)


def _tools_stamp() -> str:
    return _digest(TOOLS_DEPENDS)


def _digest(names: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for name in names:
        whole.update((SOURCE / name).read_bytes() + b"\0")
    return whole.hexdigest() + "\n"


def _is_done(folder: Path, stamp: str) -> bool:
    path = folder / STAMP
    return path.is_file() and path.read_text() == stamp


def _write_stamp(folder: Path, stamp: str) -> None:
    (folder / STAMP).write_text(stamp)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for what is half done, on the same disk so that the result is renamed into place."""
    for left in folder.glob("work-*"):
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=folder))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _only_one() -> Iterator[None]:
    """Two `make` at once in one folder: the second waits until the first has set up."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another setup is running in this folder: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
