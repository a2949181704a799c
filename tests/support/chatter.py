"""What is no board and speaks all the same, such as a receiver for GPS: it never hears anything."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import threading
import tty
from collections.abc import Callable, Iterator

LINE = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08\r\n"
_PAUSE_S = 0.02


@contextlib.contextmanager
def at_a_socket() -> Iterator[str]:
    """One at a `socket://` port, for one after the other; its URL."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_PAUSE_S)

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError), server.accept()[0] as peer:
                    _speak(peer.sendall, over)

        with _beside(serve, over):
            yield f"socket://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def at_a_terminal() -> Iterator[str]:
    """One at a serial port, which is a pseudo-terminal's; its name."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    name = os.ttyname(theirs)
    os.close(theirs)  # who has it open is looked at
    os.set_blocking(ours, False)
    over = threading.Event()

    def say(line: bytes) -> None:
        # nobody reads, or nobody has it open
        with contextlib.suppress(OSError):
            os.write(ours, line)
        with contextlib.suppress(OSError):
            os.read(ours, 4096)

    try:
        with _beside(lambda: _speak(say, over), over):
            yield name
    finally:
        os.close(ours)


def _speak(say: Callable[[bytes], object], over: threading.Event) -> None:
    while not over.wait(_PAUSE_S):
        say(LINE)


@contextlib.contextmanager
def _beside(work: Callable[[], None], over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
