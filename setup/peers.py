"""The programs that tests and benches run firmshake against, from the machine or its own release.

SoftHSM2 is loaded into our Python; RabbitMQ's Erlang, GNOME's keyring and PostgreSQL run on the
machine's libraries: packages of another release would want another libc. Each gets a folder of its
own in `.tools`. Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from archive import NO_PACKAGES, machine_architecture, machine_packages
from firmshake import debian, tools
from firmshake.errors import Error
from programs import LIBRARIES, Source, unpacked


@dataclass(frozen=True)
class Peer:
    """A package, and how the names of those begin that it is spread over."""

    package: str
    parts: str = ""


PEERS = {
    "softhsm2": Peer("libsofthsm2"),
    "rabbitmq": Peer("rabbitmq-server", parts="erlang-"),
    "gnomekeyring": Peer("gnome-keyring", parts="dbus-"),
    "postgresql": Peer("postgresql", parts="postgresql-"),
    "easyrsa": Peer("easy-rsa"),
    "cfssl": Peer("golang-cfssl"),
}
# of PostgreSQL: what makes a database, and what serves it
SERVER = ("initdb", "postgres")
# a broken or foreign program must not hang the set-up
CHECK_SECONDS = 30
# Debian's own knows /usr/lib/erlang only; $0 is the script of this name in one of two folders
ERL = """\
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
ROOTDIR=$(cd "$here/{up}" && pwd)
BINDIR=$ROOTDIR/{release}/bin
EMU=beam
PROGNAME=erl
export ROOTDIR BINDIR EMU PROGNAME
exec "$BINDIR/erlexec" "$@"
"""


def provide(name: str, folder: Path, source: Source, work: Path) -> dict[str, list[str]]:
    """What the manifest notes of a peer. Raises Error where it cannot be had or does not run."""
    found = _of_machine(name)
    if not (found and _runs(name, found)):
        found = _fetched(name, folder, source, work)
        if not _runs(name, found):
            raise Error(f"{name} does not run here: {found[name][0]}", NO_PACKAGES)
    return found


def _of_machine(name: str) -> dict[str, list[str]]:
    found = {part: tools.installed(part) for part in _names(name)}
    return found if all(found.values()) else {}


def _names(name: str) -> tuple[str, ...]:
    return ("cfssl", "cfssljson") if name == "cfssl" else (name,)


def _fetched(name: str, folder: Path, source: Source, work: Path) -> dict[str, list[str]]:
    if sys.platform == "darwin":
        raise Error(
            f"cannot find {name}", "run `brew install softhsm rabbitmq postgresql easy-rsa cfssl`"
        )
    archive, peer = source.own(), PEERS[name]
    there = machine_packages(machine_architecture())
    packages = [
        package
        for package in archive.resolve([peer.package], peer.parts)
        if package.name == peer.package
        or not (debian.is_library(package.name) and package.name in there)
    ]
    root = unpacked(folder / f"{archive.suite}-{name}", archive, packages, work)
    return _noted(name, root)


def _noted(name: str, root: Path) -> dict[str, list[str]]:
    if name == "softhsm2":
        return {name: [str(_only(root, "usr/lib/*/softhsm/libsofthsm2.so")), _libraries(root)]}
    if name == "rabbitmq":
        server = root / "usr/lib/rabbitmq/bin/rabbitmq-server"
        return {name: [str(server), str(_erlang(root)), _libraries(root)]}
    if name == "gnomekeyring":
        programs = [str(root / "usr/bin" / one) for one in ("gnome-keyring-daemon", "dbus-daemon")]
        return {name: [*programs, _libraries(root)]}
    if name == "postgresql":
        return {name: [str(_only(root, "usr/lib/postgresql/*/bin")), _libraries(root)]}
    if name == "easyrsa":
        return {name: [str(root / "usr/share/easy-rsa/easyrsa")]}
    return {part: [str(root / "usr/bin" / part)] for part in _names(name)}


def _libraries(root: Path) -> str:
    """The folders with libraries that the machine lacks, as the loader takes them."""
    folders = [path for place in LIBRARIES for path in sorted(root.glob(place))]
    return ":".join(str(path) for path in folders if any(path.glob("lib*.so.*")))


def _erlang(root: Path) -> Path:
    """Erlang's folder of programs, after its two scripts were told where they are."""
    home = root / "usr/lib/erlang"
    release = _only(home, "erts-*")
    for place, up in ((home / "bin", ".."), (release / "bin", "../..")):
        script = place / "erl"
        script.unlink(missing_ok=True)
        script.write_text(ERL.format(up=up, release=release.name))
        script.chmod(0o755)
    return home / "bin"


def _only(root: Path, place: str) -> Path:
    found = next(iter(sorted(root.glob(place))), None)
    if found is None:
        raise Error(f"the packages hold no {place}", NO_PACKAGES)
    return found


def _runs(name: str, found: dict[str, list[str]]) -> bool:
    parts = found[name]
    if name == "softhsm2":
        load = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).C_GetFunctionList"
        return _starts([sys.executable, "-I", "-c", load, parts[0]], parts[1])
    if name == "rabbitmq":
        # TLS is what may lack a library; the server is a script, and needs what erl needs
        trial = "{ok, _} = application:ensure_all_started(ssl), halt(0)."
        erl = str(Path(parts[1]) / "erl")
        return Path(parts[0]).exists() and _starts([erl, "-noshell", "-eval", trial], parts[2])
    if name == "gnomekeyring":
        return all(_starts([program, "--version"], parts[2]) for program in parts[:2])
    if name == "postgresql":
        return all(_starts([f"{parts[0]}/{program}", "--version"], parts[1]) for program in SERVER)
    return _starts([*parts, "version"])


def _starts(command: list[str], libraries: str = "") -> bool:
    env = {**os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {})}
    try:
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
