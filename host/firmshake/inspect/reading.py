"""Gets what is to be inspected: files, folders, standard input, each within its limits."""

from __future__ import annotations

import errno
import os
import shlex
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from firmshake.ca.certchecks import BROKER, CA
from firmshake.ca.finding import NOTE, WARNING, Finding
from firmshake.errors import Error
from firmshake.inspect import board, filesystem, recognise
from firmshake.inspect.desk import Desk
from firmshake.inspect.papers import judged
from firmshake.inspect.thing import Thing
from firmshake.project import BROKER_FOLDER, CA_FOLDER, FLEET_FILE

# A CRL of a million entries in PEM has 55 to 75 MB, the largest flash of a board 32
LARGEST = 128 * 1024 * 1024

_MOST_FILES = 1000
_DEEPEST = 6
# of a folder: what may be larger than a key is looked at where it is named itself
_LARGEST_IN_FOLDER = 16 * 1024 * 1024

_CIRCUITPYTHON = "boot_out.txt"
# in a folder, these are worth a look, beside all that `filesystem.WANTED` names
_WANTED = (*filesystem.WANTED, ".bin", ".uf2", ".sqlite", ".p7b", ".toml")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Note = Callable[[str], None]


def look(path: str, desk: Desk, note: Note = lambda text: None) -> Thing:
    """What lies at `path` ("-" is standard input). `note` is told of each file that is read.

    Raises Error where it cannot be read.
    """
    if path == "-":
        return recognise.look(_all_of(sys.stdin.buffer.fileno(), "standard input"), "-", desk)
    if os.path.isdir(path):
        return _folder(Path(path), desk, note)
    return _file(path, desk, note)


def _file(path: str, desk: Desk, note: Note) -> Thing:
    note(path)
    try:
        # a fifo is read too, and is no reason to wait for a terminal
        handle = os.open(path, os.O_RDONLY | os.O_NOCTTY)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        mode = os.fstat(handle).st_mode
        data = _all_of(handle, path)
    finally:
        os.close(handle)
    made = recognise.look(data, path, desk)
    return _guarded(made, path, mode) if stat.S_ISREG(mode) else made


def _all_of(handle: int, name: str) -> bytes:
    """All that can be read, up to the limit. Raises Error."""
    found = bytearray()
    try:
        while len(found) <= LARGEST and (piece := os.read(handle, 1 << 20)):
            found += piece
    except OSError as error:
        raise _unreadable(name, error) from None
    if len(found) > LARGEST:
        raise Error(
            f"{name} is larger than {LARGEST // 2**20} MiB, which is more than is looked at",
            hint="no key, CRL of a million entries or flash of a board is as large",
        )
    return bytes(found)


def _guarded(made: Thing, path: str, mode: int) -> Thing:
    """The thing, with a warning where others may read what is secret in it."""
    if not mode & _OTHERS:
        return made
    secrets = [one for one in made.all() if one.private or one.sealed]
    if not secrets:
        return made
    only_passwords = all(one.kind in ("settings", "fleet") for one in secrets)
    held = "a password" if only_passwords else "a private key"
    what = f"It holds {held}, and others on this computer may read it (mode {mode & 0o777:04o})."
    found = Finding(WARNING, "readable_by_others", what, f"chmod 600 {shlex.quote(path)}")
    return _exposed(made).with_findings(found)


def _exposed(made: Thing) -> Thing:
    return replace(made, exposed=True, inside=tuple(_exposed(one) for one in made.inside))


def _unreadable(path: str, error: OSError) -> Error:
    reason = (error.strerror or str(error)).lower()
    hints = {errno.ENOENT: "check the name", errno.EACCES: "check who may read it"}
    return Error(f"cannot read {path}: {reason}", hint=hints.get(error.errno or 0, ""))


# folders


def _folder(root: Path, desk: Desk, note: Note) -> Thing:
    """A project's folder, a CircuitPython drive or any other, with what is worth a look in it."""
    paths, left_out = _listed(root)
    project, drive = root / FLEET_FILE in paths, root / _CIRCUITPYTHON in paths
    inside = []
    for path in paths:
        if not _is_wanted(path, drive):
            continue
        one = _file(str(path), desk, note)
        if one.kind == "unknown" and not _looks_secret(path):
            continue
        inside.append(_in_place(one, path, root, desk, project=project))
    kind = "project" if project else "circuitpython" if drive else "folder"
    findings = []
    if left_out:
        what = f"Not all of it was looked at: {left_out}."
        findings.append(Finding(NOTE, "too_many", what, "Name what you want to know of."))
    if drive:
        relative = [f"/{path.relative_to(root).as_posix()}" for path in paths]
        findings += board.missing(relative)
    if not inside:
        what = "There is no key, certificate, image or project in it."
        findings.append(Finding(NOTE, "nothing_found", what))
    facts = [("files", f"{len(inside):,} of {len(paths):,} looked into")]
    if drive:
        facts.insert(0, ("version", _first_line(root / _CIRCUITPYTHON)))
    title = {"project": "project folder", "circuitpython": "CircuitPython drive"}.get(kind, kind)
    return Thing(str(root), kind, title, tuple(facts), tuple(findings), tuple(inside))


def _listed(root: Path) -> tuple[list[Path], str]:
    """The regular files below `root`, hidden ones and links to folders left out."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root, onerror=_refused):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(here.relative_to(root).parts) >= _DEEPEST:
            folders.clear()
        for name in sorted(names):
            if name.startswith(".") or not (here / name).is_file():
                continue
            if len(found) == _MOST_FILES:
                return found, f"it has more than {_MOST_FILES} files"
            found.append(here / name)
    return found, ""


def _refused(error: OSError) -> None:
    raise _unreadable(str(error.filename), error)


def _is_wanted(path: Path, drive: bool) -> bool:
    """Files of code and data are left alone; a drive's own file is told of elsewhere."""
    if drive and path.name == _CIRCUITPYTHON:
        return False
    if path.suffix.lower() not in _WANTED:
        return False
    return path.stat().st_size <= _LARGEST_IN_FOLDER


def _looks_secret(path: Path) -> bool:
    """What is named as a key or a certificate and is none is worth a word."""
    return path.suffix.lower() not in (".json", ".toml", ".bin")


def _in_place(one: Thing, path: Path, root: Path, desk: Desk, *, project: bool) -> Thing:
    """The thing judged for the part that its place gives it."""
    if board.is_boards_own(f"/{path.relative_to(root).as_posix()}"):
        return board.in_role(one, str(path), desk)
    folder = path.relative_to(root).parts[0]
    if not project or folder not in (CA_FOLDER, BROKER_FOLDER):
        return one
    first = CA if folder == CA_FOLDER or path.stem == "ca" else BROKER
    return judged(one, first, desk.now)


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            line = stream.read(200).split(b"\n")[0]
    except OSError:
        return ""
    return line.decode("utf-8", "replace").strip()
