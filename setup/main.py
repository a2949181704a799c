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
import programs
from firmshake import tools
from firmshake.errors import Error
from progress import fault, say, stop

SOURCE = Path(__file__).resolve().parent.parent
VENV = SOURCE / ".venv"
TOOLS = SOURCE / ".tools"
STAMP = ".stamp"
SCRIPTS = ("setup/main.py", "setup/environment.py", "setup/programs.py", "setup/archive.py")
VENV_DEPENDS = (*SCRIPTS[:2], "requirements/build.txt", "requirements/dev.txt", "pyproject.toml")
TOOLS_DEPENDS = (*SCRIPTS, "host/firmshake/debian.py", "host/firmshake/tools.py")


def main() -> int:
    """Set up what is missing; returns the exit status."""
    parser = argparse.ArgumentParser(description="make .venv and .tools of this source folder")
    parser.add_argument("--wide", action="store_true", help="the 32-bit MicroPython too")
    options = parser.parse_args()
    try:
        with _only_one():
            _set_up(options.wide)
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
    return 0


def _set_up(wide: bool) -> None:
    with_venv = not (_is_done(VENV, _venv_stamp()) and (VENV / "bin/python").exists())
    noted = _noted()
    # what a bench once asked for stays
    wide = wide or "micropython32" in noted
    current = noted if _is_done(TOOLS, _tools_stamp()) else {}
    with_tools = not programs.wanted(wide) <= set(current)
    if not (with_venv or with_tools):
        return
    with _scratch(TOOLS) as work:
        source = programs.Source(work)
        if with_venv:
            environment.provide(SOURCE, VENV, lambda: programs.pip_wheel(source, work))
            _write_stamp(VENV, _venv_stamp())
        if with_tools:
            found = programs.provide(TOOLS, source, work, current, wide)
            tools.write_manifest(TOOLS, found)
            _write_stamp(TOOLS, _tools_stamp())
    say("done")


def _noted() -> dict[str, list[str]]:
    """The programs noted that still exist: one from PATH may have been removed since."""
    try:
        noted = tools.read_manifest(TOOLS)
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
