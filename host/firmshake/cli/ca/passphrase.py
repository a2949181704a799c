"""`firmshake ca passphrase`: another passphrase for the CA's keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import opening, parameters
from firmshake.cli import passphrase as asking
from firmshake.cli.ca import root
from firmshake.errors import Error
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.ca.identity import PrivateKey
    from firmshake.ca.store import Place, Places


@click.command()
@click.option("--root", "of_root", is_flag=True, help="Of the root's key, and not of the others.")
@click.option(
    "--new-passphrase-fd",
    type=int,
    metavar="N",
    help="Read the new passphrase from file descriptor N, and do not ask for it.",
)
@parameters.project_folder
@root.options
@parameters.passphrase_fd
def command(
    of_root: bool,
    new_passphrase_fd: int | None,
    folder: Path,
    root_key: str | None,
    root_passphrase_fd: int | None,
    passphrase_fd: int | None,
) -> None:
    """Encrypt the keys of the issuing CAs, or that of the root, with another passphrase.

    `firmshake init` gives all of them one. The root's should be another's, and its file elsewhere.
    """
    from firmshake.ca import store

    fleet, places, _ = opening.alone(folder)
    if of_root:
        every = [store.root_place(fleet.ca_folder, places, root_key)]
    else:
        every = list({place.key: place for place in places.intermediates}.values())
    mine = [place for place in every if not place.in_token]
    if not mine:
        raise Error(
            "the key is in a token, which has a PIN and no passphrase",
            hint="change the PIN with the token's own tool",
        )
    fd = root_passphrase_fd if of_root else passphrase_fd
    whose = "root CA passphrase" if of_root else "CA passphrase"
    old = asking.ask(fd, what=f"present {whose}")
    keys, refused = _opened(fleet.ca_folder, mine, old)
    if not keys:
        raise next(iter(refused.values()))
    new = asking.ask(new_passphrase_fd, confirm=True, what=f"new {whose}")
    # where a run before was broken off, some have the new one already
    more, refused = _opened(fleet.ca_folder, list(refused), new)
    if refused:
        raise next(iter(refused.values()))
    for place, key in (keys | more).items():
        store.seal(fleet.ca_folder, place, key, new)
        path = printable(str(fleet.ca_folder / place.key))
        click.echo(f"{path}: encrypted with the new passphrase")
    if places.keyring and not of_root:
        _remember(fleet.ca_folder, places, mine[0], new)


def _opened(
    folder: Path, places: Sequence[Place], secret: bytes
) -> tuple[dict[Place, PrivateKey], dict[Place, Error]]:
    """The keys that the passphrase opens, and what was said of the others."""
    from firmshake.ca import store

    keys, refused = {}, {}
    for place in places:
        try:
            keys[place] = store.open_key(folder, place, secret)
        except Error as error:
            refused[place] = error
    return keys, refused


def _remember(folder: Path, places: Places, place: Place, secret: bytes) -> None:
    """Have the system's keyring follow, if it can be had here."""
    from firmshake import remembered
    from firmshake.ca import store

    entry = remembered.entry(store.certificate(folder, places.root), place)
    try:
        remembered.remember(entry, secret)
        click.echo(f"the system's keyring: {entry!r} of {remembered.SERVICE} is the new one")
    except Error as error:
        click.echo(
            f"firmshake: {printable(error.message)}; it may still have the old one", err=True
        )
        click.echo("  put the new one in where it is: firmshake ca remember", err=True)
