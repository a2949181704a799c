"""Where the programs that firmshake runs are: MicroPython, mosquitto and libfaketime.

Three places, in this order: the folder named by FIRMSHAKE_TOOLS, `.tools/` of the source checkout
that firmshake was installed from, and PATH. `make setup` fills a tools folder and notes in its
manifest what it found and tried out, so that nothing is started here to check it again; only what
comes from PATH is asked for its version, once a process.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmshake.errors import Error

MANIFEST = "tools.json"
FORMAT = 1
# what `tls.SSLContext` with a verify callback needs; the module is new in 1.23
MICROPYTHON_AT_LEAST = (1, 23)
MOSQUITTO_AT_LEAST = (2, 0)
# an old, broken or foreign program of the same name must not hang a command
CHECK_SECONDS = 10
# Debian keeps the broker in a folder that an ordinary user's PATH leaves out
SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin"
CLIENTS = ("pub", "sub", "rr")
# Homebrew on both kinds of Mac, then Linux distributions' own
FAKETIME_PLACES = (
    "/opt/homebrew/lib/faketime/libfaketime.1.dylib",
    "/usr/local/lib/faketime/libfaketime.1.dylib",
    "/usr/lib/*-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
)
MICROPYTHON_PROBE = (
    "import sys, tls, vfs; tls.SSLContext; vfs.VfsLfs2; print('%d.%d' % sys.implementation[1][:2])"
)


def micropython(bits: int = 64) -> list[str]:
    """The command that starts MicroPython; its arguments are appended.

    `bits` is 64 for the machine's own word, or 32 for objects of a board's size. Raises Error
    where there is none that is new enough.
    """
    assert bits in (32, 64)
    if bits == 32:
        return _noted("micropython32") or _absent("32-bit MicroPython", "run `make bench` once")
    return _noted("micropython") or _checked("micropython", is_recent_micropython)


def mosquitto() -> list[str]:
    """The command that starts the mosquitto broker. Raises Error where there is none."""
    return _noted("mosquitto") or _checked("mosquitto", is_recent_mosquitto)


def mosquitto_client(name: str) -> list[str]:
    """The command of a mosquitto client, `name` being pub, sub or rr. Raises Error if absent."""
    assert name in CLIENTS
    program = f"mosquitto_{name}"
    return _noted(program) or _checked(program, lambda command: True)


def faketime(bits: int = 64) -> Path | None:
    """The libfaketime to preload into `micropython(bits)`; None where that has no match.

    A library from another place than MicroPython's would want another libc, so it is never mixed.
    """
    noted = _noted("faketime" if bits == 64 else "faketime32")
    if noted:
        return Path(noted[0])
    return None if bits == 32 or _noted("micropython") else system_faketime()


def system_faketime() -> Path | None:
    """The libfaketime of the system itself, None where it is not installed."""
    for place in FAKETIME_PLACES:
        for found in sorted(Path("/").glob(place.lstrip("/"))):
            return found
    return None


def folder() -> Path | None:
    """The tools folder in use, None where there is none; it holds a manifest."""
    named = os.environ.get("FIRMSHAKE_TOOLS")
    # absolute, since programs are started in other folders
    place = Path(named).absolute() if named else Path(__file__).parents[2] / ".tools"
    return place if (place / MANIFEST).is_file() else None


def read_manifest(place: Path) -> dict[str, list[str]]:
    """Every program noted in a tools folder, as the command that starts it.

    A part that begins with "./" is a path inside the folder, so that a checkout may move. Raises
    Error if the manifest is not one of ours.
    """
    path = place / MANIFEST
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if content["v"] != FORMAT:
            raise ValueError
        programs = {str(k): [str(part) for part in v] for k, v in content["programs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Error(
            f"cannot read {path}", f"delete the folder {place} and run `make setup`"
        ) from error
    return {name: [_inside(place, part) for part in parts] for name, parts in programs.items()}


def write_manifest(place: Path, programs: dict[str, list[str]]) -> None:
    """Note the programs of a tools folder; parts that lie in the folder are kept relative."""
    relative = {name: [_relative(place, part) for part in v] for name, v in programs.items()}
    text = json.dumps({"v": FORMAT, "programs": relative}, indent=1, sort_keys=True) + "\n"
    beside = place / (MANIFEST + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(place / MANIFEST)


def recent_on_path() -> dict[str, list[str]]:
    """What PATH offers that is recent enough, by program; MicroPython only with its libfaketime."""
    found: dict[str, list[str]] = {}
    micropython_path = shutil.which("micropython")
    library = system_faketime()
    if micropython_path and library and is_recent_micropython((micropython_path,)):
        found |= {"micropython": [micropython_path], "faketime": [str(library)]}
    programs = {name: _on_path(name) for name in ("mosquitto", *_client_programs())}
    broker = programs["mosquitto"]
    if broker and all(programs.values()) and is_recent_mosquitto((broker,)):
        found |= {name: [path] for name, path in programs.items() if path}
    return found


def _client_programs() -> list[str]:
    return [f"mosquitto_{name}" for name in CLIENTS]


def _inside(place: Path, part: str) -> str:
    pieces = part.split(":")
    return ":".join(str(place / piece[2:]) if piece.startswith("./") else piece for piece in pieces)


def _relative(place: Path, part: str) -> str:
    # one part may be a list of folders, as the loader takes it
    prefix = f"{place}{os.sep}"
    pieces = part.split(":")
    return ":".join(f"./{p.removeprefix(prefix)}" if p.startswith(prefix) else p for p in pieces)


def _noted(name: str) -> list[str]:
    place = folder()
    return (
        list(_manifest(place, (place / MANIFEST).stat().st_mtime_ns).get(name, ())) if place else []
    )


@functools.cache
def _manifest(place: Path, changed_ns: int) -> dict[str, list[str]]:
    return read_manifest(place)


def _checked(program: str, recent: Callable[[tuple[str, ...]], bool]) -> list[str]:
    path = _on_path(program)
    if path is None:
        return _absent(program, _how_to_get(program))
    if not recent((path,)):
        return _absent(f"a recent {program}", f"{path} is too old: {_how_to_get(program)}")
    return [path]


def _absent(what: str, hint: str) -> list[str]:
    raise Error(f"cannot find {what}", hint)


def _how_to_get(program: str) -> str:
    package = "mosquitto-clients" if program.startswith("mosquitto_") else program
    if sys.platform == "darwin":
        return f"run `brew install {package.removesuffix('-clients')}`"
    return (
        f"install your system's package {package}, or run `make setup` in a source checkout and use"
        " its .venv/bin/firmshake, or set FIRMSHAKE_TOOLS to its .tools"
    )


def _on_path(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=SYSTEM_FOLDERS)


@functools.cache
def is_recent_micropython(command: tuple[str, ...]) -> bool:
    """Whether a command starts a MicroPython with the modules that the agent needs."""
    answer = _output([*command, "-c", MICROPYTHON_PROBE])
    return _version(answer) >= MICROPYTHON_AT_LEAST


@functools.cache
def is_recent_mosquitto(command: tuple[str, ...]) -> bool:
    """Whether a command starts a mosquitto of the releases that firmshake writes settings for."""
    # `-h` opens with "mosquitto version 2.0.21" and ends with a status other than 0
    return _version(_output([*command, "-h"]).partition("\n")[0]) >= MOSQUITTO_AT_LEAST


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout.strip()


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
