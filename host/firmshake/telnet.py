"""Plain bytes and commands in what comes over Telnet (RFC 854). Does no I/O.

A byte of 255 begins a command, and is doubled where it is plain. An erased flash is full of them,
so that no time may be spent on each.
"""

from __future__ import annotations

import re
from typing import Protocol

IAC = b"\xff"
SE, SB = b"\xf0", b"\xfa"
# WILL, WONT, DO, DONT: an option's number follows
_NEGOTIATIONS = (b"\xfb", b"\xfc", b"\xfd", b"\xfe")
_PLAIN = re.compile(rb"(?:[^\xff]|\xff\xff)*")


def plain_start(data: bytes) -> tuple[bytes, bytes]:
    """Return the plain bytes at the start of `data`, and what follows, from an IAC on."""
    found = _PLAIN.match(data)
    assert found is not None
    return found[0].replace(IAC + IAC, IAC), data[found.end() :]


class Commands(Protocol):
    """Who is told of commands."""

    def negotiated(self, command: bytes, option: bytes) -> None:
        """One of WILL, WONT, DO, DONT, with the number of an option."""

    def subnegotiated(self, value: bytes) -> None:
        """What stood between SB and SE."""


class Filter:
    """Splits what comes, in pieces of any size; `commands` is told of the commands in it."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        # of a command what has come, from IAC on; of an option's value between SB and SE, too
        self._begun = b""
        self._value: bytearray | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the plain bytes; commands take effect as they are come upon."""
        plain = bytearray()
        while data:
            if self._begun:
                self._begun, data = self._begun + data[:1], data[1:]
                found = self._commanded()
            else:
                found, data = plain_start(data)
                self._begun, data = data[:1], data[1:]
            if self._value is None:
                plain += found
            else:
                self._value += found
        return bytes(plain)

    def _commanded(self) -> bytes:
        """Obey the command that has begun, if it is whole; the plain byte that it may stand for."""
        command, option = self._begun[1:2], self._begun[2:]
        if command in _NEGOTIATIONS and not option:
            return b""
        self._begun = b""
        if command == IAC:
            return IAC
        if command == SB:
            self._value = bytearray()
        elif command == SE and self._value is not None:
            value, self._value = bytes(self._value), None
            self._commands.subnegotiated(value)
        elif option:
            self._commands.negotiated(command, option)
        return b""
