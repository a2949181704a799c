"""The station's end of the line to a worker: it takes and sends what there is, and never waits.

The worker's end is a multiprocessing.connection.Connection, which has before each message its
length in four bytes, big-endian. A worker may be anybody's: it may stop half-way through a message,
never read, or never stop talking, and holds up nobody but itself.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Mapping
from typing import Any

from firmshake.fleet import message
from firmshake.fleet.message import Nonsense

# what is heard at once, in messages and in pieces of so many bytes: others want to be heard, too
MOST_AT_ONCE = 200
_MOST_PIECES = 16
_PIECE = 1 << 16
_LENGTH = struct.Struct("!i")


def _is_odd(size: int) -> bool:
    return not _LENGTH.size <= size <= _LENGTH.size + message.LONGEST


class Wire:
    """One end of a connected stream socket, which is its own from here on."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._heard, self._unsent = bytearray(), bytearray()
        # the other end is closed: nothing more is to be heard
        self.is_closed = False
        self._is_deaf = False  # it does not read what it is sent

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def has_more(self) -> bool:
        """Whether there is something to be heard without another look at the socket."""
        return self._is_deaf or self._size() is not None

    @property
    def events(self) -> int:
        """What is to be waited for, 0 for nothing."""
        if self.is_closed:
            return 0
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def send(self, fields: Mapping[str, Any]) -> None:
        """Say something; nothing happens where nobody is there, or nobody listens."""
        if self._is_deaf:
            return
        data = message.encode(fields)
        self._unsent += _LENGTH.pack(len(data)) + data
        self.flush()
        self._is_deaf |= len(self._unsent) > message.LONGEST

    def flush(self) -> None:
        """Send what still waits to be sent."""
        try:
            while self._unsent and not self._is_deaf:
                del self._unsent[: self._end.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()

    def hear(self) -> list[dict[str, Any]]:
        """Return the messages that are there whole, MOST_AT_ONCE at most. Raises Nonsense."""
        if self._is_deaf:
            raise Nonsense("it asks, and does not listen")
        found: list[dict[str, Any]] = []
        pieces = 0
        while len(found) < MOST_AT_ONCE:
            size = self._size()
            if size is not None:
                found.append(message.decode(self._taken(size)))
            elif pieces < _MOST_PIECES and self._fill():
                pieces += 1
            else:
                break
        return found

    def close(self) -> None:
        self._end.close()

    def _size(self) -> int | None:
        """How long the next message is, with its length; None where it is not there whole."""
        if len(self._heard) < _LENGTH.size:
            return None
        size = _LENGTH.size + _LENGTH.unpack_from(self._heard)[0]
        return size if _is_odd(size) or len(self._heard) >= size else None

    def _taken(self, size: int) -> bytes:
        if _is_odd(size):
            raise Nonsense("it says more at once than anything needs")
        data = bytes(self._heard[_LENGTH.size : size])
        del self._heard[:size]
        return data

    def _fill(self) -> bool:
        """Whether something more has come."""
        if self.is_closed:
            return False
        try:
            piece = self._end.recv(_PIECE)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        self._heard += piece
        self.is_closed = not piece
        return bool(piece)
