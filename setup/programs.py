"""Fills `.tools/`: MicroPython, mosquitto and libfaketime, from PATH or from Debian's packages.

Standard library only, and what `firmshake` has of the same kind: this runs before anything is
installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from archive import (
    NO_PACKAGES,
    Archive,
    machine_architecture,
    machine_mirrors,
    machine_release,
)
from firmshake import debian, tools
from firmshake.errors import Error
from progress import say

CLIENTS = ("mosquitto_pub", "mosquitto_sub", "mosquitto_rr")
PACKAGES = {
    "micropython": ("micropython", "libfaketime"),
    "mosquitto": ("mosquitto", "mosquitto-clients"),
}
ON_MACOS = "run `brew install micropython mosquitto libfaketime`, then repeat"
# what a root may hold, and where it lies there
PLACES = {
    "micropython": "usr/bin/micropython",
    "mosquitto": "usr/sbin/mosquitto",
    **{name: f"usr/bin/{name}" for name in CLIENTS},
}
LOADERS = (
    "usr/lib64/ld-linux-*.so.*",
    "usr/lib/*-linux-gnu*/ld-linux*.so.*",
    "usr/lib/ld-linux*.so.*",
    "lib*/ld-linux*.so.*",
)
LIBRARIES = ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*")
FAKETIME = "usr/lib/*-linux-gnu*/faketime/libfaketime.so.1"


class Source:
    """The archive that packages come from: found at the first need, then kept."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._found: Archive | None = None
        self._own: Archive | None = None
        self._lists: dict[tuple[str, str], Archive] = {}

    def archive(self) -> Archive:
        """The first archive of the machine's mirrors that has a recent MicroPython.

        Raises Error if there is none, with the last reason.
        """
        if self._found is None:
            self._found = self._search()
        return self._found

    def own(self) -> Archive:
        """The archive of the machine's own release. Raises Error if there is none."""
        if self._own is None:
            tries = debian.own_suites(machine_mirrors(), machine_release())
            self._own = self._first(tries, lambda archive: "")
        return self._own

    def _search(self) -> Archive:
        def lacks(archive: Archive) -> str:
            version = debian.version_of(archive.version("micropython"))
            return "" if version >= tools.MICROPYTHON_AT_LEAST else "MicroPython 1.23 or later"

        return self._first(debian.candidates(machine_mirrors(), machine_release()), lacks)

    def _first(
        self, tries: list[tuple[debian.Family, str, str]], lacks: Callable[[Archive], str]
    ) -> Archive:
        """The first of these that can be read and lacks nothing."""
        reason = "apt lists no Debian or Ubuntu mirror here"
        for place in tries:
            try:
                archive = self._read(*place)
            except Error as error:
                reason = error.message
                continue
            missing = lacks(archive)
            if not missing:
                return archive
            reason = f"{archive.family.name} {archive.suite} has no {missing}"
        raise Error(f"cannot fetch packages: {reason}", NO_PACKAGES)

    def _read(self, family: debian.Family, uri: str, suite: str) -> Archive:
        if (uri, suite) not in self._lists:
            say(f"reading the package list of {family.name} {suite} at {_host(uri)}")
            archive = Archive(self._work / f"apt-{len(self._lists)}", family, uri, suite)
            archive.update()
            self._lists[uri, suite] = archive
        return self._lists[uri, suite]


def provide(
    folder: Path, source: Source, work: Path, current: dict[str, list[str]]
) -> dict[str, list[str]]:
    """The command of each program that everything needs, `current` completed by what is missing.

    Raises Error where something can be had neither from PATH nor from an archive.
    """
    found = current if set(PACKAGES) <= set(current) else current | tools.recent_on_path()
    missing = [name for name in PACKAGES if name not in found]
    if missing and sys.platform == "darwin":
        raise Error(f"cannot find {' and '.join(missing)}", ON_MACOS)
    if missing:
        packages = [package for name in missing for package in PACKAGES[name]]
        root = _root(folder, source.archive(), packages, work)
        found |= {k: v for k, v in commands(root).items() if k not in found}
    for name in PACKAGES:
        _try_out(name, found[name])
    return found


def narrow(folder: Path, source: Source, work: Path) -> dict[str, list[str]]:
    """The commands of the 32-bit MicroPython and its libfaketime. Raises Error where none runs."""
    if sys.platform != "linux" or machine_architecture() != "amd64":
        raise Error("cannot run the 32-bit MicroPython on this machine", "use a PC with Linux")
    if debian.family_of(machine_release()) == debian.UBUNTU:
        # known before any list is fetched: this is asked at every `make test`
        raise Error("Ubuntu has no 32-bit MicroPython", "run `make bench` on Debian")
    archive = source.archive().sibling(work / "apt-i386", "i386")
    archive.update()
    if not archive.version("micropython"):
        raise Error(
            f"{archive.family.name} {archive.suite} has no 32-bit MicroPython",
            "run `make bench` on Debian",
        )
    found = commands(_root(folder, archive, list(PACKAGES["micropython"]), work))
    _try_out("micropython", found["micropython"])
    return {f"{name}32": command for name, command in found.items()}


def _root(folder: Path, archive: Archive, wanted: list[str], work: Path) -> Path:
    """The folder with the wanted packages of an archive: whole, or not there."""
    packages = archive.resolve(wanted)
    return unpacked(folder / f"{archive.suite}-{archive.architecture}", archive, packages, work)


def unpacked(root: Path, archive: Archive, packages: list[debian.Package], work: Path) -> Path:
    """`root`, made anew of these packages: whole, or as it was."""
    say(f"fetching {len(packages)} packages of {archive.suite} ({archive.architecture})")
    fresh = work / f"fresh-{root.name}"
    archive.unpack(packages, fresh)
    if root.exists():
        root.rename(work / f"old-{root.name}")
    fresh.rename(root)
    return root


def commands(root: Path) -> dict[str, list[str]]:
    """How to start each program of an unpacked root: by its own loader, on its own libraries."""
    loader = next(path for place in LOADERS for path in sorted(root.glob(place)))
    folders = [str(path) for place in LIBRARIES for path in sorted(root.glob(place))]
    # the system's list of libraries is for the system's own libc
    start = [str(loader), "--inhibit-cache", "--library-path", ":".join(folders)]
    found = {
        name: [*start, "--argv0", name, str(root / place)]
        for name, place in PLACES.items()
        if (root / place).is_file()
    }
    faketime = next(iter(root.glob(FAKETIME)), None)
    return found | ({"faketime": [str(faketime)]} if faketime else {})


def _try_out(name: str, command: list[str]) -> None:
    recent = tools.is_recent_mosquitto if name == "mosquitto" else tools.is_recent_micropython
    if not recent(tuple(command)):
        raise Error(f"{name} does not run here: {command[-1]}", NO_PACKAGES)


def _host(uri: str) -> str:
    # a mirror's address may carry a name and a password
    return uri.rpartition("@")[2].removeprefix("https://").removeprefix("http://").split("/")[0]


def pip_wheel(source: Source, work: Path) -> Path:
    """pip as Debian packages it: a wheel in `work`, for a Python that comes without."""
    say("this Python has no pip of its own: taking the package python3-pip-whl")
    archive = source.archive()
    archive.unpack(archive.resolve(["python3-pip-whl"]), work / "pip")
    return next((work / "pip").glob("usr/share/python-wheels/pip-*.whl"))
