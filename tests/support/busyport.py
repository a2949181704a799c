"""A serial port that another program has open for itself alone."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_HOLDER = """\
import os, pty, sys, serial
ours, theirs = pty.openpty()
port = serial.Serial(os.ttyname(theirs), exclusive=True)
print(port.port, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[tuple[str, int]]:
    """The port's name and the number of the process that has it."""
    holder = folder / "holder.py"
    holder.write_text(_HOLDER, encoding="utf-8")
    command = [sys.executable, str(holder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().decode().strip(), process.pid
        finally:
            process.communicate(b"")
