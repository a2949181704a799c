"""Reads an open serial port as events and other output, for as long as the port is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from firmshake import portfaults
from firmshake.event import Event, Output
from firmshake.reader import Reader

_QUIET_S = 0.3  # without a byte for so long, what the reader holds back is given out
_POLL_S = 0.1


class Port(Protocol):
    """What is used of an open pyserial port."""

    timeout: float | None

    def read(self, size: int = 1, /) -> bytes | None: ...


def listen(
    port: Port, reader: Reader, clock: Callable[[], float] = time.monotonic
) -> Iterator[list[Event | Output]]:
    """What comes over the port, in lists; an empty list at least every time limit of the port.

    Raises Error where the port goes away; `reader.close()` then gives what it had not given out.
    """
    if port.timeout is None or port.timeout > _POLL_S:
        port.timeout = _POLL_S
    heard = clock()
    while True:
        data = _read(port)
        if data:
            heard = clock()
        found = reader.feed(data)
        if clock() - heard >= _QUIET_S:
            found += reader.quiet()
        yield found


def _read(port: Port) -> bytes:
    try:
        # not every class of pyserial's has in_waiting; without it, a byte at a time is right too
        return port.read(max(1, getattr(port, "in_waiting", 1))) or b""
    except (OSError, TypeError) as error:  # pyserial's own errors are OSErrors
        # TypeError: pyserial reads from a file descriptor that is closed already
        name = getattr(port, "port", None) or "the serial port"
        raise portfaults.gone(name) from error
