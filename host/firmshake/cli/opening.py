"""Opens a project's CA and registry for a command: what can be told without a passphrase first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from firmshake.cli import passphrase

if TYPE_CHECKING:  # slow to load, and each command has its own checks to make first
    from firmshake.ca.authority import Authority
    from firmshake.ca.store import Place, Places
    from firmshake.project import Project
    from firmshake.registry import Registry


@dataclass(frozen=True)
class Opened:
    """A project whose CA issues. `secrets` are those that were asked for: in a token, its PIN."""

    fleet: Project
    places: Places
    registry: Registry
    authority: Authority
    secrets: dict[bool, bytes] = field(repr=False)
    passphrase_fd: int | None

    def secret_of(self, place: Place) -> bytes:
        """Return the secret of a key of the CA, asked for where it is of the other sort."""
        kind = place.in_token
        if kind not in self.secrets:
            self.secrets[kind] = passphrase.ask(self.passphrase_fd, what=named(kind, "CA"))
        return self.secrets[kind]


def load(folder: Path) -> tuple[Project, Places, Registry]:
    """Return the project in `folder`, where its CAs are, and its registry; nothing secret."""
    from firmshake import project

    fleet = project.load(folder)
    return fleet, *parts(fleet)


def parts(fleet: Project) -> tuple[Places, Registry]:
    """Return where the project's CAs are, and its registry; raise Error where one is missing."""
    from firmshake.ca import store
    from firmshake.registry import Registry

    return store.read(fleet.ca_folder), Registry.open(fleet.registry_path)


def open_ca(folder: Path, passphrase_fd: int | None) -> Opened:
    """Return the project in `folder` with its CA open; raise Error where it does not open."""
    fleet, places, registry = load(folder)
    return open_loaded(fleet, places, registry, passphrase_fd)


def open_loaded(
    fleet: Project, places: Places, registry: Registry, passphrase_fd: int | None
) -> Opened:
    """Return a project that was loaded with its CA open."""
    from firmshake import project

    project.check_authority(fleet, registry)
    kind = places.issuing.in_token
    secret = passphrase.ask(passphrase_fd, what=named(kind, "CA"))
    authority = project.open_authority(fleet, secret)
    return Opened(fleet, places, registry, authority, {kind: secret}, passphrase_fd)


def named(in_token: bool, whose: str) -> str:
    """What the secret of a key is called where it is asked for."""
    return f"{whose} token's PIN" if in_token else f"{whose} passphrase"
