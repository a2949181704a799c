"""A new project folder: settings, private CA, broker certificate and configuration, registry."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from firmshake import (
    brokerconfig,
    fleetfile,
    fleettemplate,
    interrupts,
    newfile,
    project,
    registrysetting,
)
from firmshake.ca import creation, lists, profiles
from firmshake.ca.certificate import Issuer
from firmshake.ca.creation import Keeping, Made
from firmshake.ca.identity import Identity
from firmshake.ca.profiles import Profiles
from firmshake.errors import Error
from firmshake.project import (
    BROKER_FILE,
    BROKER_FOLDER,
    CA_FOLDER,
    FLEET_FILE,
    PROFILES_FILE,
    REGISTRY_FILE,
    Broker,
    Project,
    Wifi,
)
from firmshake.registry import Issued, Registry, moving, place
from firmshake.staging import staged

# what the folder's owner may commit and what never
GITIGNORE = """\
# Keys, and images of boards, which hold their keys
*.key
*.p12
*.jsonl
*.bin
*.uf2
broker.pem
# What waits for clients of the broker
mosquitto.db*
# It may hold a Wi-Fi password; take this line out if yours does not
fleet.toml
registry.sqlite*
"""

# anyone may read these, as far as the folder that they are in lets them
_PUBLIC = 0o644


def new_project(
    folder: Path,
    *,
    broker: Broker,
    passphrase: bytes,
    now: datetime,
    root: Keeping | None = None,
    issuing_uri: str | None = None,
    taken: Callable[[str, Profiles], Made] | None = None,
    name: str | None = None,
    wifi: Wifi | None = None,
    ntp: Sequence[str] = fleetfile.DEFAULT_NTP,
    keepalive_s: int = fleetfile.DEFAULT_KEEPALIVE_S,
    prefix: str | None = None,
    broker_names: Sequence[str] = (),
    certificate_profiles: str | None = None,
    registry_url: str | None = None,
) -> Project:
    """Make a project in `folder`, which is new or has no project in it, and return it.

    The CA's keys are encrypted with `passphrase`, the root's as `root` says where that is given;
    with `issuing_uri` the intermediate's is made in that PKCS#11 token, and `passphrase` is its
    PIN. `taken` makes the CA, of the fleet's name, from one that there is. `name` is the folder's
    name unless given, `prefix` is made from it; `broker_names` are further names for the broker's
    certificate. `certificate_profiles` is the text of a profiles.toml. With `registry_url` the
    registry is in that PostgreSQL database, which is empty.

    Raises Error, with nothing changed, where a value is wrong, a project is there already, or the
    disk or the database won't have it. Should the folder fail when the database has the registry,
    the Error says so.
    """
    check_free(folder, registry_url)
    rules = certificate_profiles if certificate_profiles is not None else profiles.text()
    using = profiles.parse(rules)
    title = name if name is not None else folder.resolve().name
    settings = fleettemplate.render(
        name=title,
        prefix=prefix if prefix is not None else prefix_of(title),
        host=broker.host,
        port=broker.port,
        server_name=broker.server_name,
        ssid=wifi.ssid if wifi else None,
        password=wifi.password if wifi else None,
        ntp=ntp,
        keepalive_s=keepalive_s,
        transport=broker.transport,
        path=broker.path,
        alpn=broker.alpn,
        sni=broker.sni,
    )
    if registry_url is not None:
        settings = registrysetting.written(settings, registry_url)
    names = list(dict.fromkeys((broker.server_name, broker.host, *broker_names)))
    with _staged(folder, registry_url) as stage:
        _write(stage / FLEET_FILE, settings, newfile.PRIVATE)
        _check_settings(stage)  # as it will be read, and before a name goes into a certificate
        keeping = Keeping(passphrase, issuing_uri)
        made = (
            taken(title, using)
            if taken
            else creation.create(title, now=now, keeping=keeping, root=root, using=using)
        )
        creation.write(stage / CA_FOLDER, made)
        identity = made.issuing.issue_broker(names, now=now)
        _write_broker(stage / BROKER_FOLDER, identity, broker)
        _write(stage / PROFILES_FILE, rules, _PUBLIC)
        _write(stage / ".gitignore", GITIGNORE, _PUBLIC)
        _register(stage, made, identity, using, now)
    return project.load(folder)


@contextlib.contextmanager
def _staged(folder: Path, registry_url: str | None) -> Iterator[Path]:
    """`staged`, with the registry moved from its file to a database that was named.

    That is the last thing but to put the folder in its place: it is one transaction, and what fails
    before it leaves nothing anywhere.
    """
    is_moved = False
    try:
        with contextlib.ExitStack() as calm, staged(folder) as stage:
            yield stage
            if registry_url is not None:
                path = stage / REGISTRY_FILE
                # from here on both are there, or an Error tells what is
                calm.enter_context(interrupts.held())
                moving.move(path, registry_url)
                is_moved = True
                path.unlink()
    except Error as error:
        if not is_moved:
            raise
        raise Error(
            f"{error.message}; the database has this project's registry already: {registry_url}",
            hint="mend that, empty the database (dropdb NAME; createdb -E UTF8 NAME), and run the"
            " command again",
        ) from None


def check_free(folder: Path, registry_url: str | None = None) -> None:
    """Raise Error where `folder` is no place for a new project, or the database none for it."""
    if os.path.lexists(folder) and not os.path.isdir(folder):  # answer, where Path's raise
        raise Error(f"{folder} is not a folder", hint="name a new or an empty folder")
    for entry in (
        FLEET_FILE,
        CA_FOLDER,
        BROKER_FOLDER,
        REGISTRY_FILE,
        PROFILES_FILE,
        ".gitignore",
    ):
        if os.path.lexists(folder / entry):
            raise Error(
                f"{folder} already holds {entry}, and nothing was changed",
                hint="name a new or an empty folder; a CA that is replaced locks out its boards",
            )
    if registry_url is not None:
        place.check_empty(registry_url)


def prefix_of(name: str) -> str:
    """Return the device-id prefix for the fleet `name`: its letters and digits, in lower case."""
    kept = "".join(c if c.isascii() and c.isalnum() else " " for c in name.lower())
    return "-".join(kept.split())[:24].rstrip("-") or "board"


def write_broker_certificate(folder: Path, identity: Identity) -> None:
    """Write the broker's certificate with the chain, and its key, in place of any that is there.

    All in one file, so that there is no moment at which they don't belong together. A running
    mosquitto takes them up on SIGHUP. Raises OSError, with the old file left.
    """
    # in clear: mosquitto has to start without anybody there to type
    newfile.replace(folder / BROKER_FILE, identity.chain_pem() + identity.key_pem())


def _check_settings(stage: Path) -> None:
    try:
        project.load(stage)
    except Error as error:
        # the file that it names is gone in a moment
        raise Error(error.message.removeprefix(f"{stage / FLEET_FILE}: "), error.hint) from None


def _register(stage: Path, made: Made, broker: Identity, using: Profiles, now: datetime) -> None:
    """Begin the registry with what was signed so far, and sign the first revocation lists.

    A broker that is told to look into a list does not start without one.
    """
    registry = Registry.create(stage / REGISTRY_FILE, clock=lambda: now)
    own = made.issuing.certificate
    registry.record(
        Issued("root", made.root, event="imported" if made.root_imported else "issued"),
        Issued("intermediate", own, event="imported" if made.imported else "issued"),
        Issued("broker", broker.certificate),
    )
    folder, places = stage / CA_FOLDER, made.places
    lists.publish(folder, places.issuing, made.issuing, registry, using.intermediate, now)
    if made.root_key is not None:
        root = Issuer(made.root_key, made.root)
        lists.publish(folder, places.root, root, registry, using.root, now)
    lists.gather(folder, places, registry, stage / BROKER_FOLDER / lists.GATHERED)


def _write_broker(folder: Path, identity: Identity, broker: Broker) -> None:
    folder.mkdir(mode=0o700)
    write_broker_certificate(folder, identity)
    # the root alone: devices send their intermediate, so it can be renewed without the broker
    newfile.create(folder / "ca.crt", identity.anchors_pem(), _PUBLIC)
    conf = brokerconfig.mosquitto_conf(broker.host, broker.port, _user())
    _write(folder / "mosquitto.conf", conf, _PUBLIC)
    # mosquitto complains of one that the world can read, and says that it will refuse it one day
    _write(folder / "acl", brokerconfig.ACL, newfile.PRIVATE)


def _user() -> str:
    """The user by its number: the environment's USER may be another's (su, sudo, cron)."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise Error(f"the user number {os.getuid()} has no name on this computer") from None


def _write(path: Path, text: str, mode: int) -> None:
    newfile.create(path, text.encode("utf-8"), mode)
