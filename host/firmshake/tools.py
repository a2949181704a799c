"""Where the programs that firmshake runs are, and those that its tests and benches run it against.

Three places, in this order: the folder named by FIRMSHAKE_TOOLS, `.tools/` of the source checkout
that firmshake was installed from, and PATH. `make setup` fills a tools folder and notes in its
manifest what it found and tried out, so that nothing is started here to check it again; only what
comes from PATH is asked for its version, once a process.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from firmshake.errors import Error
from firmshake.toolfolder import noted

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
# Debian's two, then Fedora's, Alpine's and Homebrew's
SOFTHSM2_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/*-linux-gnu*/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
# the broker's own script: Debian's of that name on PATH wants to be root or the user rabbitmq
RABBITMQ_PLACES = ("/usr/lib/rabbitmq/bin/rabbitmq-server",)
# Debian's, where PATH has neither
POSTGRESQL_PLACES = ("/usr/lib/postgresql/*/bin",)
EASYRSA_PLACES = ("/usr/share/easy-rsa/easyrsa",)
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
        return noted("micropython32") or _absent("32-bit MicroPython", "run `make bench` once")
    return noted("micropython") or _checked("micropython", is_recent_micropython)


def mosquitto() -> list[str]:
    """The command that starts the mosquitto broker. Raises Error where there is none."""
    return noted("mosquitto") or _checked("mosquitto", is_recent_mosquitto)


def mosquitto_client(name: str) -> list[str]:
    """The command of a mosquitto client, `name` being pub, sub or rr. Raises Error if absent."""
    assert name in CLIENTS
    program = f"mosquitto_{name}"
    return noted(program) or _checked(program, lambda command: True)


def faketime(bits: int = 64) -> Path | None:
    """The libfaketime to preload into `micropython(bits)`; None where that has no match.

    A library from another place than MicroPython's would want another libc, so it is never mixed.
    """
    library = noted("faketime" if bits == 64 else "faketime32")
    if library:
        return Path(library[0])
    return None if bits == 32 or noted("micropython") else system_faketime()


def system_faketime() -> Path | None:
    """The libfaketime of the system itself, None where it is not installed."""
    return _first(FAKETIME_PLACES)


@dataclass(frozen=True)
class RabbitMQ:
    """What starts a node of RabbitMQ as an ordinary user.

    `server` is a script that runs a node in the foreground, and stops it when it gets SIGTERM.
    `erlang` is the folder with erl and epmd: a node asks epmd on ERL_EPMD_PORT, and starts one
    that outlives it where it finds none.
    """

    server: Path
    erlang: Path
    libraries: str

    def environment(self) -> dict[str, str]:
        """What the environment of both has to say, beside the RABBITMQ_... of a node's own."""
        found = {"PATH": f"{self.erlang}:{os.environ.get('PATH', os.defpath)}"}
        return found | ({"LD_LIBRARY_PATH": self.libraries} if self.libraries else {})


@dataclass(frozen=True)
class GnomeKeyring:
    """What starts the desktop's keyring in a session of its own: `bus` is its D-Bus daemon."""

    daemon: Path
    bus: Path
    libraries: str

    def environment(self) -> dict[str, str]:
        """What the environment of both has to say besides."""
        return {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}


@dataclass(frozen=True)
class PostgreSQL:
    """What starts a PostgreSQL: the folder with `initdb` and `postgres`. Neither runs as root."""

    programs: Path
    libraries: str

    def environment(self) -> dict[str, str]:
        """What the environment of both has to say besides."""
        return {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}


def softhsm2() -> Path:
    """The PKCS#11 module of SoftHSM2, for this machine's own programs. Raises Error if absent."""
    return Path(_peer("softhsm2")[0])


def softhsm2_libraries() -> str:
    """The LD_LIBRARY_PATH that a process needs which loads `softhsm2`; "" where it needs none."""
    return _peer("softhsm2")[1]


def rabbitmq() -> RabbitMQ:
    """What starts a RabbitMQ. Raises Error where there is none."""
    server, erlang, libraries = _peer("rabbitmq")
    return RabbitMQ(Path(server), Path(erlang), libraries)


def gnomekeyring() -> GnomeKeyring:
    """What starts a GNOME keyring. Raises Error where there is none."""
    daemon, bus, libraries = _peer("gnomekeyring")
    return GnomeKeyring(Path(daemon), Path(bus), libraries)


def postgresql() -> PostgreSQL:
    """What starts a PostgreSQL server. Raises Error where there is none."""
    programs, libraries = _peer("postgresql")
    return PostgreSQL(Path(programs), libraries)


def easyrsa() -> list[str]:
    """The command of easy-rsa, of Debian's release. Raises Error where there is none."""
    return _peer("easyrsa")


def cfssl(name: str = "cfssl") -> list[str]:
    """The command cfssl, or the cfssljson that writes its output to files. Raises Error if absent.

    Debian 12 and Ubuntu up to 24.04 have release 1.2 of the year 2016.
    """
    assert name in ("cfssl", "cfssljson")
    return _peer(name)


def installed(name: str) -> list[str]:
    """What the machine itself has of a peer, in the form of the manifest; empty where it has none.

    SoftHSM2's is its module and a list of folders with libraries; RabbitMQ's is its script, the
    folder of erl, and the same list; GNOME's keyring's is its daemon, that of D-Bus, and the list;
    PostgreSQL's is its folder of programs and the list; for the others it is a command.
    """
    if name == "softhsm2":
        module = _first(SOFTHSM2_PLACES)
        return [str(module), ""] if module else []
    if name == "rabbitmq":
        server, erl = _first(RABBITMQ_PLACES) or _on_path("rabbitmq-server"), _on_path("erl")
        return [str(server), str(Path(erl).parent), ""] if server and erl else []
    if name == "gnomekeyring":
        daemon, bus = _on_path("gnome-keyring-daemon"), _on_path("dbus-daemon")
        return [daemon, bus, ""] if daemon and bus else []
    if name == "postgresql":
        server = next(_server_programs(), None)
        return [str(server), ""] if server else []
    path = _on_path(name) or (_first(EASYRSA_PLACES) if name == "easyrsa" else None)
    return [str(path)] if path else []


# what gets each of them, and its package on Debian
PEERS = {
    "softhsm2": ("make test", "softhsm2"),
    "rabbitmq": ("make test", "rabbitmq-server"),
    "gnomekeyring": ("make test", "gnome-keyring"),
    "postgresql": ("make test", "postgresql"),
    "easyrsa": ("make bench", "easy-rsa"),
    "cfssl": ("make bench", "golang-cfssl"),
    "cfssljson": ("make bench", "golang-cfssl"),
}


def _peer(name: str) -> list[str]:
    command, package = PEERS[name]
    hint = f"run `{command}` once, which fetches it, or install your system's package {package}"
    return noted(name) or installed(name) or _absent(name, hint)


def _server_programs() -> Iterator[Path]:
    """The folders with both of PostgreSQL's programs; a link of their name may lead nowhere."""
    path = _on_path("postgres")
    found = [place for pattern in POSTGRESQL_PLACES for place in Path("/").glob(pattern[1:])]
    for folder in [*([Path(path).parent] if path else []), *sorted(found, reverse=True)]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            yield folder


def _first(places: tuple[str, ...]) -> Path | None:
    found = (path for place in places for path in sorted(Path("/").glob(place.lstrip("/"))))
    return next(found, None)


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
