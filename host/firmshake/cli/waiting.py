"""Waits for the signal that ends a command."""

from __future__ import annotations

import signal
import socket
from typing import NoReturn


def for_a_signal() -> NoReturn:
    """Sleep until a signal is taken, which raises.

    Waiting for a lock would miss one that comes just before the wait begins.
    """
    woken, wake = socket.socketpair()
    with woken, wake:
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        try:
            while True:
                woken.recv(1)
        finally:
            signal.set_wakeup_fd(-1)
