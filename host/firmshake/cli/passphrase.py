"""Asking for a secret: at the terminal without echo, or from a file descriptor.

Never from an argument or the environment, which other users and child processes can read.
"""

from __future__ import annotations

import contextlib
import os
import sys

import click

from firmshake.ca import guessing
from firmshake.errors import Error

# `cryptography` takes 1023 bytes
LONGEST = 1023
# for a new one; NIST SP 800-63B section 5.1.1.1: 8 characters at least where a person chooses
SHORTEST = 8


def ask(
    fd: int | None,
    confirm: bool = False,
    what: str = "CA passphrase",
    option: str = "--passphrase-fd",
) -> bytes:
    """Return the passphrase from file descriptor `fd`, or asked for where that is None.

    With `confirm` it is a new one: asked for twice, not too short, and not an obvious one; who
    types one that will not do is told why, and asked again. From a file descriptor the first line
    is taken, and what follows it is left there. `option` is the one that gives a descriptor.
    Raises Error where there is nothing to be had, of usage where there is no way to ask.
    """
    _keep_out_of_cores()
    if fd is None or _is_terminal(fd):
        _check_terminal(what, option)
        if confirm:
            return _new(what, what)
        secret = _octets(click.prompt(what, hide_input=True, err=True))
    else:
        secret = read_line(fd, what)
    if not secret:
        raise Error(f"the {what} is empty", status=2)
    return _checked(secret, confirm, what)


def ask_other(what: str, *, confirm: bool) -> bytes | None:
    """Return a secret asked for at the terminal, None for the Enter that means the one before.

    With `confirm` it is a new one, as for `ask`. Raises Error where it will not do.
    """
    said = f"{what} (Enter: the same)"
    if confirm:
        return _new(said, what, default="") or None
    text = click.prompt(said, default="", show_default=False, hide_input=True, err=True)
    return _checked(_octets(text), False, what) if text else None


def _new(said: str, what: str, default: str | None = None) -> bytes:
    """A new one, asked for until it will do and was typed twice; empty for Enter by default."""
    while True:
        text = click.prompt(said, default=default, show_default=False, hide_input=True, err=True)
        if not text:
            return b""
        try:
            secret = _checked(_octets(text), True, what)
        except Error as error:
            click.echo(f"Error: {error.message}{error.hint and f': {error.hint}'}", err=True)
            continue
        if click.prompt("Repeat for confirmation", hide_input=True, err=True) == text:
            return secret
        click.echo("Error: The two entered values do not match.", err=True)


def _checked(secret: bytes, new: bool, what: str) -> bytes:
    if len(secret) > LONGEST:
        raise Error(f"the {what} is longer than {LONGEST} bytes", status=2)
    if new and len(secret) < SHORTEST:
        raise Error(f"the {what} is too short", hint=f"use {SHORTEST} characters or more", status=2)
    if new and guessing.is_obvious(secret):
        raise Error(
            f"the {what} is among the first that are tried",
            hint="four words or more that somebody drew by lot are good, and can be kept in mind",
            status=2,
        )
    return secret


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OverflowError:
        return False


def _check_terminal(what: str, option: str) -> None:
    if not sys.stdin.isatty():
        raise Error(
            f"no terminal to ask for the {what} at",
            hint=f"give it on a file descriptor, such as: {option} 3 3< FILE",
            status=2,
        )


def _keep_out_of_cores() -> None:
    """A process that knows a secret leaves no image of its memory behind, however it ends."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def read_line(fd: int, what: str) -> bytes:
    """Return the first line from file descriptor `fd`; raise Error where it can't be read.

    It is read a byte at a time, so that a second secret can follow on the same descriptor.
    """
    line = bytearray()
    try:
        while len(line) <= LONGEST and (octet := os.read(fd, 1)) not in (b"", b"\n"):
            line += octet
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such descriptor"
        raise Error(
            f"can't read the {what} from file descriptor {fd}: {reason}",
            hint=f"open it in the shell, such as: {fd}< FILE",
            status=2,
        ) from None
    return bytes(line.removesuffix(b"\r"))
