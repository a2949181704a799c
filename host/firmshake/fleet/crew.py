"""The workers of a station: one process a board, each at the other end of a pipe.

They are forked from a process that has loaded what they need, and nothing else: no key, and no
descriptor of the station's.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from firmshake import esptool_runs, flash, interrupts
from firmshake.fleet import message, worker
from firmshake.fleet.message import Nonsense
from firmshake.fleet.worker import Job

# what every worker needs, and what is slow to load
_PRELOADED = [
    "firmshake.fleet.worker",
    "firmshake.bundle",
    "firmshake.circuitpython",
    "serial.rfc2217",
    "littlefs",
    "cryptography.hazmat.primitives.asymmetric.ec",
]
_END_S = 5.0


@dataclass(frozen=True)
class Hand:
    """One worker. `line` closes with the station."""

    process: BaseProcess
    pipe: Connection
    line: Connection

    def send(self, fields: Mapping[str, Any]) -> None:
        """Say something to it; nothing happens where it is dead."""
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(message.encode(fields))

    def hear(self) -> dict[str, Any] | None:
        """Return the next message, None where it is dead. Raises Nonsense."""
        try:
            data = self.pipe.recv_bytes(message.LONGEST)
        except EOFError:
            return None
        except OSError as error:
            # it has said more than anything needs, or was killed while it spoke
            if self.process.is_alive():
                raise Nonsense(str(error)) from None
            return None
        return message.decode(data)

    def end(self) -> None:
        """Let it be dead, with all that it started."""
        self.line.close()
        self.process.kill()
        self.process.join(_END_S)
        self.pipe.close()


class Crew:
    """Hires workers; a context manager that leaves none behind."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)
        self._hands: list[Hand] = []
        self._open = contextlib.ExitStack()
        self._esptool: socket.socket | None = None

    def __enter__(self) -> Crew:
        self._esptool = self._open.enter_context(esptool_runs.parent(flash.environment()))
        return self

    def __exit__(self, *error: object) -> None:
        for hand in self._hands[:]:
            self.dismiss(hand)
        self._open.close()

    def hire(self, job: Job) -> Hand:
        """Start a worker."""
        ours, theirs = self._context.Pipe()
        end, line = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=worker.work, args=(job, theirs, end, self._esptool), daemon=True
        )
        hand = Hand(process, ours, line)
        with interrupts.held():
            process.start()
            self._hands.append(hand)
        theirs.close()
        end.close()
        return hand

    def dismiss(self, hand: Hand) -> None:
        """End a worker, whether it is done or not."""
        self._hands.remove(hand)
        hand.end()

    def heard(self, timeout_s: float) -> list[Hand]:
        """Return the workers that have something to say, or are dead, after that time at most."""
        by_pipe = {id(hand.pipe): hand for hand in self._hands}
        ready = wait([hand.pipe for hand in self._hands], timeout_s)
        return [by_pipe[id(pipe)] for pipe in ready]
