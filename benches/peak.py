"""Runs a command, and tells how long it took and how much memory it had at most.

The kernel counts a child's peak from the memory of the process that started it. So a small process
stands in between: this file, run as a program.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# of ru_maxrss, which is in KiB but for macOS
_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, the most memory in bytes at a time, and what was said on stderr."""

    seconds: float
    peak_bytes: int
    said: str

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.peak_bytes / 1e6:.0f} MB of memory"


def run(command: Sequence[str], *, within: Path | None = None, status: int = 0) -> Cost:
    """Run a command in a folder; it has to end with `status`. Its standard output goes nowhere."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", __file__, *command],
        cwd=within,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found, seconds, peak = done.stdout.split()
    assert int(found) == status, done.stderr
    return Cost(float(seconds), int(peak) * _UNIT, done.stderr)


def _stand_between(command: list[str]) -> None:
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    start = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    _, code, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    print(os.waitstatus_to_exitcode(code), seconds, usage.ru_maxrss)


if __name__ == "__main__":
    _stand_between(sys.argv[1:])
