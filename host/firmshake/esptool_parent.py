"""A program that has esptool loaded, and forks an esptool_child for each run that is asked for.

Loading it is half of what a run costs, so that a station with many boards has it done once. It is a
process of its own, started as a program, and asked through a socket: esptool is never a part of who
asks. It ends when nobody can ask any more; each child ends as esptool_child does.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

LONGEST = 1 << 16
# of SCM_MAX_FD, 253 (unix(7))
MOST_FILES = 250
# which of the files of a request are what; the others have numbers of their own
STDIN, STDOUT, REPLY = range(3)
_LOADED = (
    "encodings.idna",
    "esptool",
    "serial.urlhandler.protocol_rfc2217",
    "firmshake.esptool_child",
    "firmshake.quickport",
)
# in nice(2)'s measure, of what works on one board: all of them wait for the one station, and it is
# to have the processor when it can go on
GIVES_WAY = 5
# above what a child needs
_ASIDE = 512


def main() -> None:
    """Serve at the socket whose number is the argument of this program."""
    asked = socket.socket(fileno=int(sys.argv[1]))
    # whoever asks decides about Ctrl-C; children are reaped by the system
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.nice(GIVES_WAY)
    _load()
    while True:
        data, files, _, _ = socket.recv_fds(asked, LONGEST, MOST_FILES)
        if not data:
            return
        if not os.fork():
            _child(asked, json.loads(data), files)
        for file in files:
            os.close(file)


def _load() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    # children share what is loaded for as long as nobody writes to it
    gc.collect()
    gc.freeze()


def _child(asked: socket.socket, request: dict[str, list[int | str]], files: list[int]) -> NoReturn:
    """Become esptool, and tell how that ended."""
    status = 1
    try:
        asked.close()
        reply = _placed(files, [int(number) for number in request["numbers"]])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.write(reply, b"%d\n" % os.getpid())
        status = _status([str(argument) for argument in request["arguments"]])
        os.write(reply, b"%d\n" % status)
    finally:
        os._exit(status)


def _placed(files: Sequence[int], numbers: Sequence[int]) -> int:
    """Give the files of a request their places; where the reply goes."""
    aside = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _ASIDE) for file in files]
    for file in files:
        os.close(file)
    places = [(STDIN, 0), (STDOUT, 1), (STDOUT, 2)]
    places += [(REPLY + 1 + at, number) for at, number in enumerate(numbers)]
    for at, number in places:
        os.dup2(aside[at], number)
    for at, file in enumerate(aside):
        if at != REPLY:
            os.close(file)
    return aside[REPLY]


def _status(arguments: list[str]) -> int:
    from firmshake import esptool_child

    sys.argv = ["esptool", *arguments]
    status: object = 0
    try:
        esptool_child.main()
    except SystemExit as leave:
        status = leave.code
    except BaseException:  # noqa: BLE001  a fork has nobody above it that would show it
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    main()
