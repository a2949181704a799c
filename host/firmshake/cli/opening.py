"""Opens a project's CA and registry for a command: what can be told without a passphrase first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import passphrase
from firmshake.errors import Error, WrongSecret
from firmshake.wording import printable

if TYPE_CHECKING:  # slow to load, and each command has its own checks to make first
    from datetime import datetime

    from firmshake.ca.authority import Authority
    from firmshake.ca.store import Place, Places
    from firmshake.project import Project
    from firmshake.registry import Registry


@dataclass(frozen=True)
class Opened:
    """A project whose CA issues. `secrets` are those that were asked for, by `Place.token`."""

    fleet: Project
    places: Places
    registry: Registry
    authority: Authority
    secrets: dict[str, bytes] = field(repr=False)
    passphrase_fd: int | None

    def secret_of(self, place: Place) -> bytes:
        """Return what opens a key of the CA, asked for where none that is known does.

        All key files of intermediates have one passphrase, and each token has its PIN.
        """
        which = place.token
        if which not in self.secrets:
            found, _ = _secret(self.fleet, self.places, place, self.passphrase_fd, further=True)
            self.secrets[which] = found
        return self.secrets[which]

    def check_others(self, now: datetime) -> None:
        """Raise Error where a passphrase misses one of the CAs whose lists are signed.

        Before anything is changed: what is half done then waits for the right passphrase. And
        nothing is signed outside the validity of the CA.
        """
        from firmshake import revocation
        from firmshake.ca import store
        from firmshake.project import profiles_of

        revocation.check_time(self.authority, now, profiles_of(self.fleet))
        folder = self.fleet.ca_folder
        for place in revocation.signing(folder, self.places, self.registry, now):
            if place.key == self.places.issuing.key:
                continue
            try:
                store.open_issuer(folder, place, self.secret_of(place))
            except WrongSecret:
                raise
            except Error:
                pass  # its key is elsewhere: that is told when the lists are signed

    def secret_of_new(self, uri: str | None) -> bytes:
        """Return what opens the key of a new intermediate: in that token, or in a file."""
        from firmshake.ca.store import Place

        place = Place("", uri or "")
        if not any(place.token == other.token for other in self.places.intermediates) and not uri:
            what = "new CA passphrase"
            self.secrets[""] = passphrase.ask(self.passphrase_fd, confirm=True, what=what)
        return self.secret_of(place)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[tuple[Project, Places, Registry]]:
    """What `load` gives, for a command that changes the CA or its lists: one at a time.

    Raises Error where another is at work.
    """
    from firmshake import exclusive, project

    fleet = project.load(folder)
    if not fleet.ca_folder.is_dir():
        raise Error(f"no folder {fleet.ca_folder}", hint="put back a copy of the CA's folder")
    with exclusive.folder(fleet.ca_folder):
        yield fleet, *parts(fleet)


def alone(folder: Path) -> tuple[Project, Places, Registry]:
    """As `held`, until the command that runs is done."""
    return click.get_current_context().with_resource(held(folder))


def load(folder: Path) -> tuple[Project, Places, Registry]:
    """Return the project in `folder`, where its CAs are, and its registry; nothing secret."""
    from firmshake import project

    fleet = project.load(folder)
    return fleet, *parts(fleet)


def registry_of(folder: Path) -> Registry:
    """Return the registry of the project in `folder`; the CA is not looked at."""
    from firmshake import project
    from firmshake.registry import open_for

    return open_for(project.load(folder))


def parts(fleet: Project) -> tuple[Places, Registry]:
    """Return where the project's CAs are, and its registry; raise Error where one is missing."""
    from firmshake.ca import store
    from firmshake.registry import open_for

    return store.read(fleet.ca_folder), open_for(fleet)


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
    secret, kept = _secret(fleet, places, places.issuing, passphrase_fd)
    try:
        authority = project.open_authority(fleet, secret)
    except WrongSecret as error:
        if kept:
            error.hint = "the system's keyring held it; put in the right one: firmshake ca remember"
        raise
    secrets = {places.issuing.token: secret}
    return Opened(fleet, places, registry, authority, secrets, passphrase_fd)


def _secret(
    fleet: Project, places: Places, place: Place, fd: int | None, *, further: bool = False
) -> tuple[bytes, bool]:
    """Return what opens the key at `place`, and whether the system's keyring had it.

    Asked for, it is called by its token where it is a further one.
    """
    if fd is None and places.keyring:
        found = _remembered(fleet, places, place)
        if found is not None:
            return found, True
    return passphrase.ask(fd, what=secret_name(place, further=further)), False


def _remembered(fleet: Project, places: Places, place: Place) -> bytes | None:
    """Return what the system's keyring has; None, with one line that says why, where it has not."""
    from firmshake import remembered
    from firmshake.ca import store

    root = store.certificate(fleet.ca_folder, places.root)
    try:
        return remembered.recall(remembered.entry(root, place))
    except Error as error:
        click.echo(f"firmshake: {printable(error.message)}", err=True)
        return None


def openers(places: Places) -> list[Place]:
    """Return an intermediate for each secret that opens their keys, first the one that issues."""
    found: dict[str, Place] = {}
    for place in (places.issuing, *places.intermediates):
        found.setdefault(place.token, place)
    return list(found.values())


def secret_name(place: Place, *, further: bool = False) -> str:
    """What the secret of a key of the CA is called; `further` where it is not the first of them."""
    if further and place.in_token:
        return f"PIN of the CA token {place.token}"
    return named(place.in_token, "CA")


def named(in_token: bool, whose: str) -> str:
    """What the secret of a key is called where it is asked for."""
    return f"{whose} token's PIN" if in_token else f"{whose} passphrase"
