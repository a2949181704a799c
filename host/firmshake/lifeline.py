"""A process that must not outlive another: it ends when the other end of a pipe is closed.

The other end is held by the process that it works for, and by nobody else, so that it closes
however that one ends. A board is then not written to by what nobody waits for any more.
"""

from __future__ import annotations

import os
import threading

# of a process whose station or parent is gone; nobody reads it
STATUS = 70


def hang_on(handle: int) -> None:
    """End this process at once when nobody holds the other end of the pipe `handle` any more."""

    def wait() -> None:
        while os.read(handle, 1):
            pass
        os._exit(STATUS)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
