"""The root's key, for the few commands that need it: where it is now, and its passphrase."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from firmshake.cli import opening, passphrase

if TYPE_CHECKING:
    from firmshake.ca.authority import Root
    from firmshake.ca.store import Places
    from firmshake.project import Project

_OPTIONS = (
    click.option(
        "--root-key",
        metavar="FILE|URI",
        help="Where the root's key is now: a file or PKCS#11 URI. By itself: where ca.toml says.",
    ),
    click.option(
        "--root-passphrase-fd",
        type=int,
        metavar="N",
        help="Read the root's passphrase from file descriptor N, and do not ask for it.",
    ),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how the root's key is to be had."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_root(fleet: Project, places: Places, key: str | None, fd: int | None) -> Root:
    """Return the root, opened; raise Error where its key isn't there, before it asks anything."""
    from firmshake.ca import store

    place = store.root_place(fleet.ca_folder, places, key)
    secret = passphrase.ask(fd, what=opening.named(place.in_token, "root CA"))
    return store.open_root(fleet.ca_folder, place, secret)
