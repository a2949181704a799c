"""The project folder: where its files are, and fleet.toml as a value that has been checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from firmshake import fleetfile
from firmshake.errors import Error
from firmshake.firmwares.pins import Pins

if TYPE_CHECKING:  # slow to load, and most commands need only the values
    from cryptography import x509

    from firmshake.ca.authority import Authority
    from firmshake.ca.profiles import Profiles
    from firmshake.registry import Registry

FLEET_FILE = "fleet.toml"
REGISTRY_FILE = "registry.sqlite"
PROFILES_FILE = "profiles.toml"
CA_FOLDER = "ca"
BROKER_FOLDER = "broker"
# in that folder: the broker's certificate with the chain, and its key
BROKER_FILE = "broker.pem"

# a fleet.toml of many boards is far below it; a file that large is something else
_LARGEST = 1024 * 1024


@dataclass(frozen=True)
class Broker:
    """Where boards connect: `server_name` is the name that its certificate has to have.

    `path` counts with the transport "wss" alone. `sni` is the name to ask for where that is another
    than `server_name`.
    """

    host: str
    port: int
    server_name: str
    transport: str = fleetfile.MQTTS
    path: str = fleetfile.DEFAULT_PATH
    alpn: str | None = None
    sni: str | None = None


@dataclass(frozen=True)
class Wifi:
    """The network that boards join; `password` is None where it is open."""

    ssid: str
    password: str | None = field(repr=False)


@dataclass(frozen=True)
class Project:
    """A project folder and what its fleet.toml says. `wifi` is None for boards that need none.

    `registry_url` is None where the registry is a file of the project.
    """

    root: Path
    name: str
    broker: Broker
    wifi: Wifi | None
    ntp: tuple[str, ...]
    keepalive_s: int
    prefix: str
    firmware: Pins = field(default_factory=dict)
    registry_url: str | None = None

    @property
    def registry_at(self) -> Path | str:
        """Where the registry is: its URL, or the path of its file."""
        return self.registry_url or self.registry_path

    @property
    def registry_path(self) -> Path:
        return self.root / REGISTRY_FILE

    @property
    def broker_folder(self) -> Path:
        return self.root / BROKER_FOLDER

    @property
    def ca_folder(self) -> Path:
        return self.root / CA_FOLDER


def load(folder: Path) -> Project:
    """Return the project in `folder`; raise Error where its fleet.toml is missing or wrong."""
    path = folder / FLEET_FILE
    text = _read(path)
    try:
        values = fleetfile.check(tomllib.loads(text))
    except RecursionError:
        raise Error(f"{path}: nested too deeply", hint="mend it by hand") from None
    except ValueError as error:  # not TOML; tomllib says at which line and column
        raise Error(f"{path}: {error}", hint="mend the line; https://toml.io shows how") from None
    except Error as error:
        raise Error(f"{path}: {error.message}", error.hint) from None
    return _project(folder, values)


def _project(folder: Path, values: fleetfile.Values) -> Project:
    wifi = None
    if values.wifi_ssid is not None:
        wifi = Wifi(values.wifi_ssid, values.wifi_password)
    broker = Broker(
        host=values.host,
        port=values.port,
        server_name=values.server_name or values.host,
        transport=values.transport,
        path=values.path,
        alpn=values.alpn,
        sni=values.sni,
    )
    return Project(
        root=folder,
        name=values.name,
        broker=broker,
        wifi=wifi,
        ntp=values.ntp,
        keepalive_s=values.keepalive_s,
        prefix=values.prefix,
        firmware=values.firmware,
        registry_url=values.registry_url,
    )


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        raise Error(
            f"no project in {path.parent}: it has no {path.name}",
            hint="make one with: firmshake init FOLDER --broker HOST",
        ) from None
    except OSError as error:
        raise Error(
            f"can't read {path}: {(error.strerror or 'unreadable').lower()}",
            hint="check the folder's name and who may read the file",
        ) from None
    if len(content) > _LARGEST:
        raise Error(f"{path} is too large to be a project's settings", hint="put back your own")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Error(f"{path} is not UTF-8 (at line {line})", hint="save it as UTF-8") from None


def profiles_of(project: Project) -> Profiles:
    """Return the certificate profiles of the project; raise Error where its file is wrong."""
    from firmshake.ca import profiles

    path = project.root / PROFILES_FILE
    if not path.exists():
        return profiles.load()
    try:
        return profiles.parse(_read(path))
    except Error as error:
        raise Error(f"{path}: {error.message.removeprefix(profiles.ABOUT)}", error.hint) from None


def root_certificate(project: Project) -> x509.Certificate:
    """Return the root certificate of the project's CA; raise Error where it can't be read."""
    from firmshake.ca import store

    return store.certificate(project.ca_folder, store.read(project.ca_folder).root)


def check_authority(project: Project, registry: Registry) -> None:
    """Raise Error where the project's CA and its registry don't belong together.

    What a CA signs is recorded, or it must not sign: a registry that has never heard of the CA is
    another project's, or an old copy.
    """
    from firmshake.ca import certificate as certificates
    from firmshake.ca import store

    folder = project.ca_folder
    issuing = store.certificate(folder, store.read(folder).issuing)
    row = registry.certificate(certificates.serial(issuing))
    if row is not None and row.revoked_at is not None:
        raise Error(
            f"the CA {certificates.subject(issuing)!r} was revoked on {row.revoked_at:%Y-%m-%d},"
            " and issues nothing",
            hint="its successor is made by firmshake ca intermediate; is ca.toml an old copy?",
        )
    if row is None or row.fingerprint_sha256 != certificates.fingerprint(issuing):
        raise Error(
            f"the registry {registry.where} does not know the CA {certificates.subject(issuing)!r}",
            hint="put back the registry that belongs to this CA, the newest copy of it",
        )


def open_authority(project: Project, passphrase: bytes) -> Authority:
    """Return the CA that issues the project's identities. The root's key is not touched.

    Raises Error where a file is missing or damaged, the files don't belong together, or the
    passphrase is wrong.
    """
    from firmshake.ca import store

    return store.open_authority(project.ca_folder, passphrase, profiles_of(project))
