"""Runs of esptool: by a process that has it loaded (esptool_parent) where there is one.

A station starts one with `parent`, and its workers `use` it; whoever does neither starts a program
for each run. On Linux only: elsewhere `parent` gives nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Protocol

from firmshake import esptool_child, esptool_parent, interrupts

_KILLED = -signal.SIGKILL
_END_S = 5.0

_used: socket.socket | None = None


class Run(Protocol):
    """One esptool at work, as a subprocess.Popen is."""

    @property
    def stdin(self) -> IO[bytes] | None: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    def kill(self) -> None: ...

    def wait(self) -> int: ...


@contextlib.contextmanager
def parent(environment: Mapping[str, str]) -> Iterator[socket.socket | None]:
    """Start one; give what `use` takes, or None where there are none. It ends with the context."""
    if not hasattr(os, "pidfd_open"):
        yield None
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = None
    try:
        with interrupts.held():
            process = subprocess.Popen(
                [*_program(esptool_parent.__name__), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        theirs.close()
        yield ours
    finally:
        ours.close()
        theirs.close()
        if process is not None:
            # workers that are alive still hold the socket, too
            process.kill()
            process.wait()


def use(asked: socket.socket | None) -> None:
    """From here on, have runs of this process started by the parent at this socket."""
    global _used
    _used = asked


def start(arguments: Sequence[str], files: Sequence[int], environment: Mapping[str, str]) -> Run:
    """Start esptool_child with these arguments; it inherits `files` by their numbers.

    `environment` is that of the parent where there is one.
    """
    if _used is not None:
        # it goes without one that has died, or for what is too long to ask
        with contextlib.suppress(OSError):
            return _Asked(_used, arguments, files)
    return subprocess.Popen(
        [*_program(esptool_child.__name__), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=files,
        env=environment,
    )


def _program(name: str) -> list[str]:
    # -P: an esptool.py in the current folder is not the one that we mean
    return [sys.executable, "-P", "-m", name]


class _Asked:
    """A run that a parent has forked. Raises OSError where the parent is dead."""

    def __init__(
        self, asked: socket.socket, arguments: Sequence[str], files: Sequence[int]
    ) -> None:
        request = json.dumps({"arguments": list(arguments), "numbers": list(files)}).encode()
        if len(request) > esptool_parent.LONGEST or len(files) > esptool_parent.MOST_FILES - 3:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        self._status: int | None = None
        self._process = -1
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            stdin, self.stdin = _pipe(theirs, ours, "wb")
            stdout, self.stdout = _pipe(theirs, ours, "rb")
            reply, self._reply = _pipe(theirs, ours, "rb")
            socket.send_fds(asked, [request], [stdin, stdout, reply, *files])
            theirs.close()
            # the parent may have died with our question
            if not (pid := self._reply.readline()):
                raise BrokenPipeError
            with contextlib.suppress(ProcessLookupError):
                self._process = os.pidfd_open(int(pid))
                ours.callback(os.close, self._process)
            self._open = ours.pop_all()

    def kill(self) -> None:
        """End it at once."""
        if self._status is None and self._process >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        if self._status is None:
            self._status = int(self._reply.readline() or _KILLED)
            self._open.close()
        return self._status


def _pipe(
    theirs: contextlib.ExitStack, ours: contextlib.ExitStack, mode: str
) -> tuple[int, IO[bytes]]:
    """Their end of a pipe, and ours, to write ("wb") or to read."""
    read, write = os.pipe()
    far, near = (read, write) if mode == "wb" else (write, read)
    theirs.callback(os.close, far)
    return far, ours.enter_context(os.fdopen(near, mode, buffering=0 if mode == "wb" else -1))
