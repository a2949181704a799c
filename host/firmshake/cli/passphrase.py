"""Asking for a secret: at the terminal without echo, or from a file descriptor.

Never from an argument or the environment, which other users and child processes can read.
"""

from __future__ import annotations

import os
import sys

import click

from firmshake.errors import Error

# `cryptography` takes 1023 bytes
LONGEST = 1023
# for a new one; NIST SP 800-63B section 5.1.1.1: 8 characters at least where a person chooses
SHORTEST = 8


def ask(fd: int | None, confirm: bool = False, what: str = "CA passphrase") -> bytes:
    """Return the passphrase from file descriptor `fd`, or asked for where that is None.

    With `confirm` it is a new one: asked for twice, and not to be too short. From a file
    descriptor the first line is taken, and what follows it is left there.
    Raises Error where there is nothing to be had, of usage where there is no way to ask.
    """
    secret = _prompt(what, confirm) if fd is None or _is_terminal(fd) else read_line(fd, what)
    if not secret:
        raise Error(f"the {what} is empty", status=2)
    if confirm and len(secret) < SHORTEST:
        raise Error(f"the {what} is too short", hint=f"use {SHORTEST} characters or more", status=2)
    if len(secret) > LONGEST:
        raise Error(f"the {what} is longer than {LONGEST} bytes", status=2)
    return secret


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OverflowError:
        return False


def _prompt(what: str, confirm: bool) -> bytes:
    if not sys.stdin.isatty():
        raise Error(
            f"no terminal to ask for the {what} at",
            hint="give it on a file descriptor, such as: --passphrase-fd 3 3< FILE",
            status=2,
        )
    text = click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True)
    assert isinstance(text, str)
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
