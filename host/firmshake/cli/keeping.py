"""How the keys of a new CA are kept: in encrypted files, or in tokens; asks for what opens them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from firmshake.cli import opening, parameters, passphrase
from firmshake.errors import Error

if TYPE_CHECKING:
    from firmshake.ca.creation import Keeping

_ROOT_FD = "--root-passphrase-fd"
# said before the question at a terminal
_WHY = "The root's key makes no devices: with another passphrase, who makes them can't open it."

_OPTIONS = (
    parameters.new_passphrase_fd,
    click.option(
        _ROOT_FD,
        "root_fd",
        type=int,
        metavar="N",
        help="Read another passphrase for the root's key from file descriptor N. By itself: the"
        " same. With the N of --passphrase-fd, the line behind it.",
    ),
    click.option(
        "--key",
        "uri",
        metavar="URI",
        help="Make the issuing CA's key in the PKCS#11 token that this URI names, and not in a"
        " file. Its PIN takes the passphrase's place.",
    ),
    click.option("--root-key", "root_uri", metavar="URI", help="The same for the root's key."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the keys go and what closes them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_usage(uri: str | None, root_uri: str | None) -> None:
    """Raise Error where keys can't be kept like that."""
    from firmshake.ca import pkcs11uri

    for option, address in (("--key", uri), ("--root-key", root_uri)):
        if address is None:
            continue
        if not pkcs11uri.is_uri(address):
            raise Error(
                f"{option} is for a key in a token: a PKCS#11 URI, which begins with pkcs11:",
                hint="without it the key is made in a new file in ca/",
                status=2,
            )
        if not pkcs11uri.parse(address).label:
            raise Error(f"{option} gives the key no name", hint="add object=NAME to it", status=2)
    if uri is not None and uri == root_uri:
        raise Error(
            "--key and --root-key name one key", hint="give each its own object=NAME", status=2
        )


def ask(
    uri: str | None, root_uri: str | None, fd: int | None, root_fd: int | None
) -> tuple[Keeping, Keeping]:
    """Return how the issuing CA's key and the root's are kept, with what was asked for."""
    from firmshake.ca.creation import Keeping

    issuing = Keeping(_new(uri, fd, "CA"), uri)
    alike = (uri is None) == (root_uri is None)
    if root_fd is not None or not alike:
        return issuing, Keeping(_new(root_uri, root_fd, "root CA", _ROOT_FD), root_uri)
    if fd is not None or not sys.stdin.isatty():
        return issuing, Keeping(issuing.secret, root_uri)
    if uri is None:
        click.echo(_WHY, err=True)
    other = passphrase.ask_other(_named(root_uri, "root CA"), confirm=uri is None)
    return issuing, Keeping(other or issuing.secret, root_uri)


def _new(uri: str | None, fd: int | None, whose: str, option: str = "--passphrase-fd") -> bytes:
    """A new passphrase, or the PIN that a token has already."""
    return passphrase.ask(fd, confirm=uri is None, what=_named(uri, whose), option=option)


def _named(uri: str | None, whose: str) -> str:
    return opening.named(uri is not None, whose)
