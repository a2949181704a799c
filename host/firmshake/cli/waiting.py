"""Waits for the signal that ends a command."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Callable, Sequence
from typing import NoReturn


def for_a_signal(
    files: Sequence[int] = (), take: Callable[[int], None] = lambda file: None
) -> NoReturn:
    """Sleep until a signal is taken, which raises; `take` gets each of `files` that is readable.

    Waiting for a lock would miss one that comes just before the wait begins.
    """
    woken, wake = socket.socketpair()
    with woken, wake:
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        try:
            while True:
                readable, _, _ = select.select([woken.fileno(), *files], [], [])
                for file in readable:
                    if file == woken.fileno():
                        woken.recv(1)
                    else:
                        take(file)
        finally:
            signal.set_wakeup_fd(-1)
