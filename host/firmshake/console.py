"""A board's serial line, live: it goes on where the port comes back after it went away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from firmshake.errors import Error
from firmshake.event import Event, Output
from firmshake.listen import Port, listen
from firmshake.reader import Reader
from firmshake.saving import NotSaved

RETRY_S = 0.5  # between two attempts to open a port that went away


class OpenPort(Port, Protocol):
    """A port that can be closed."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Lost:
    """The port went away."""

    reason: str


@dataclass(frozen=True)
class Back:
    """The port is there again."""


def watch(
    open_port: Callable[[], OpenPort],
    reset: Callable[[OpenPort], None] = lambda port: None,
    pause: Callable[[float], None] = time.sleep,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[Event | Output | Lost | Back]:
    """Everything that comes over the port, without an end; `open_port` is called again each time.

    `reset` is called once, with the port first opened. Raises what the first `open_port` and
    `reset` raise, and NotSaved where a SavedPort's log fails; a later Error of `open_port` means
    that the port is not back yet. `alive` is called ten times a second while the port is there;
    what it or `pause` raises ends the watch, with the port closed.
    """
    port = open_port()
    try:
        reset(port)
        while True:
            yield from _until_lost(port, alive)
            _close(port)
            port = _reopen(open_port, pause)
            yield Back()
    finally:
        _close(port)


def _until_lost(port: OpenPort, alive: Callable[[], None]) -> Iterator[Event | Output | Lost]:
    reader = Reader()
    try:
        for items in listen(port, reader):
            yield from items
            alive()
    except NotSaved:
        raise
    except Error as error:
        yield from reader.close()
        yield Lost(error.message)


def _reopen(open_port: Callable[[], OpenPort], pause: Callable[[float], None]) -> OpenPort:
    while True:
        pause(RETRY_S)
        try:
            return open_port()
        except (Error, OSError):
            continue


def _close(port: OpenPort) -> None:
    # pyserial 3.5 forgets to close the socket of an rfc2217:// port whose server is gone
    sock = getattr(port, "_socket", None)
    port.close()
    if sock is not None:
        sock.close()
