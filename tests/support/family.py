"""Which process is whose child, and what each costs, as Linux tells in /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def children() -> dict[int, list[int]]:
    """The children of each process that has any."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def with_environment(setting: str) -> Iterator[int]:
    """The processes that were started with that setting."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if setting.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)


def command(pid: int) -> str:
    """The words with which a process was started; nothing where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def parent(pid: int) -> int:
    """A process's parent, 0 where it is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def descent(pid: int, parents: Mapping[int, list[int]]) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for child in parents.get(pid, []):
        yield from descent(child, parents)


def cpu_s(pid: int) -> float:
    """Seconds of processor of a process, and of its children that have ended and were seen to."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) * _TICK_S if fields else 0.0


def memory(pid: int) -> int:
    """Bytes of a process, of what it shares its part (the kernel's Pss)."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
