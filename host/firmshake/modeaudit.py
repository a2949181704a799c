"""The audit of who may read and write a project's files, beside their owner."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from firmshake.ca import store
from firmshake.ca.finding import WARNING, WRONG, Finding
from firmshake.ca.store import Places
from firmshake.project import BROKER_FILE, FLEET_FILE, PROFILES_FILE, Project

_ANY = 0o077
_WRITE = 0o022


def check(project: Project, places: Places) -> Iterator[Finding]:
    """Yield each file and folder that lies too open."""
    secret = [*project.ca_folder.glob("*.key"), project.broker_folder / BROKER_FILE]
    for path in (*secret, project.registry_path):
        yield from _private(path, WRONG)
    # it may hold the Wi-Fi's password; without one, there is little in it to hide
    has_password = project.wifi is not None and project.wifi.password is not None
    yield from _private(project.root / FLEET_FILE, WRONG if has_password else WARNING)
    for folder in (project.ca_folder, project.broker_folder):
        yield from _folder(folder)
    for path in _public(project, places):
        mode = _mode(path)
        if mode & _WRITE:
            yield _writable(path, mode, "chmod go-w")


def _public(project: Project, places: Places) -> Iterator[Path]:
    """What anyone may read, and others must not change."""
    for place in (places.root, *places.intermediates):
        yield project.ca_folder / place.certificate
        yield project.ca_folder / place.crl
    yield project.ca_folder / store.FILE
    yield project.root / PROFILES_FILE
    for name in ("ca.crt", "crl.pem", "mosquitto.conf", "acl"):
        yield project.broker_folder / name


def _private(path: Path, severity: str) -> Iterator[Finding]:
    mode = _mode(path)
    if mode & _ANY:
        what = f"{path} can be read by others (mode {mode:04o})"
        yield Finding(severity, "readable_by_others", what, f"chmod 600 {path}")


def _folder(path: Path) -> Iterator[Finding]:
    """Who may write to a folder can replace what is in it, whatever the modes of its files."""
    mode = _mode(path)
    if mode & _WRITE:
        yield _writable(path, mode, "chmod 700")
    elif mode & _ANY:
        what = f"{path} is open to others (mode {mode:04o})"
        yield Finding(WARNING, "readable_by_others", what, f"chmod 700 {path}")


def _writable(path: Path, mode: int, remedy: str) -> Finding:
    what = f"{path} can be changed by others (mode {mode:04o})"
    fix = f"{remedy} {path}, and look at what they made of it"
    return Finding(WRONG, "writable_by_others", what, fix)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0  # told elsewhere, or the root's key, which is elsewhere
