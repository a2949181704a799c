"""The real tools at a virtual board, run to their end, and its serial line, read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import serial

# seconds; esptool writes whole images at a line's pace
PATIENCE_S = 60
ESPTOOL_PATIENCE_S = 120


# esptool's own number of attempts, whatever its configuration says
_PATIENT = ["--connect-attempts", "7"]


def impatient(folder: Path) -> str:
    """A configuration (ESPTOOL_CFGFILE) that has esptool wait for 1 s, not for 7.

    So long it waits whether a board that went away comes back.
    """
    path = folder / "esptool.cfg"
    path.write_text("[esptool]\nconnect_attempts = 1\n")
    return str(path)


def esptool(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real esptool at a port, to its end."""
    return _run("esptool", *_PATIENT, "--port", url, *arguments, within=ESPTOOL_PATIENCE_S)


def done(url: str, *arguments: str) -> str:
    """The same, which succeeds: what it said."""
    return _said(esptool(url, *arguments))


def mpremote(url: str, *arguments: str) -> str:
    """The real mpremote at a port, which succeeds: what it said."""
    return _said(_run("mpremote", "connect", url, *arguments))


@contextmanager
def console(url: str, baud: int = 115200) -> Iterator[serial.SerialBase]:
    """A port, open."""
    port = serial.serial_for_url(url, baud, timeout=0.1)
    try:
        yield port
    finally:
        port.close()


def read_until(port: serial.SerialBase, wanted: bytes, within: float = PATIENCE_S) -> bytes:
    """What comes over an open port, up to and with what is wanted."""
    seen, deadline = b"", time.monotonic() + within
    while wanted not in seen:
        assert time.monotonic() < deadline, seen
        seen += port.read(max(1, port.in_waiting))
    return seen


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _run(*words: str, within: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "support.polling", *words],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
        check=False,
    )


def _said(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout
    return run.stdout
