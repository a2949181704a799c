"""A mosquitto on this computer, run from a project's broker folder for as long as it is wanted."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from firmshake import interrupts, tools
from firmshake.errors import Error

LOG = "mosquitto.log"
# either takes a moment, and long on a computer that is busy
_START_S = 20.0
# one that is killed has not written down what it keeps for its clients
_STOP_S = 10.0

# Below the ports that Linux and macOS give to clients: one of those could take a port while the
# broker is not there to hold it
_PORTS = range(20000, 32000)


class LocalBroker:
    """A running mosquitto; a context manager that leaves none behind.

    Raises Error where there is no mosquitto, or it does not come up.
    """

    def __init__(
        self, folder: Path, host: str, port: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._environment = environment
        self._address = (host, port)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it with the folder's mosquitto.conf, and wait until it answers."""
        # noted once it is begun: an interruption in between would leave it behind
        with (self._folder / LOG).open("ab") as log, interrupts.held():
            self._process = subprocess.Popen(
                [*tools.mosquitto(), "-c", "mosquitto.conf"],
                env=self._environment,
                cwd=self._folder,  # mosquitto takes the paths in its file from there
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(self._address, 1):
                return
            time.sleep(0.02)
        self.stop()
        raise Error(
            f"mosquitto did not come up on port {self._address[1]}",
            hint=f"its last words: {self._last_words()}",
        )

    def stop(self) -> None:
        """End it, politely at first."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _last_words(self) -> str:
        lines = (self._folder / LOG).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "none"


def free_port() -> int:
    """A port of the loopback address that nobody listens on, nor is given to a client."""
    while True:
        port = secrets.choice(_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
