"""What `firmshake fleet run` does with 1 to 64 boards at once, at their lines' own speed.

Virtual boards share the computer with the station: their processor time is told apart. Throughput
is that of one batch: all boards are there when it begins, and do the same at the same moments, at
which the processors are full: no batch gets faster then, and how long that is is measured. Memory
is measured in runs of its own: to look at a hundred processes takes processor time, too.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from support import desk, family, fleetdesk

NUMBERS = (1, 8, 16, 32, 64)
GOAL = 0.9
# at this share all processors are in use, as far as such looks tell
BUSY = 0.9
_SAMPLE_S, _MEMORY_SAMPLE_S = 0.1, 0.25


@dataclass(frozen=True)
class Batch:
    """One run: seconds by the clock; seconds of processor of all, and of the boards.

    `full_s` is for how long all processors were in use.
    """

    count: int
    seconds: float
    computer_s: float
    boards_s: float
    full_s: float

    @property
    def busy(self) -> float:
        """The share of the computer's processors that was in use."""
        return self.computer_s / self.seconds / (os.cpu_count() or 1)


def measure() -> dict[str, str]:
    """The figures by name."""
    batches = []
    for count in NUMBERS:
        with _bench(count) as bench:
            batches.append(_measured(bench, count))
    one, many = batches[0], batches[-1]
    figures = {}
    for batch in batches:
        ratio = one.seconds / batch.seconds
        more = batch.seconds - one.seconds
        figures[f"{batch.count} boards"] = (
            f"{batch.seconds:.1f} s, {60 * batch.count / batch.seconds:.0f} a minute,"
            f" {ratio:.2f} of {batch.count} times one (goal: {GOAL} until the processor is the"
            f" limit); {more:.1f} s longer than one; processors {batch.busy:.0%} busy, full for"
            f" {batch.full_s:.1f} s"
        )
    figures["processor time a board"] = (
        f"{(many.computer_s - many.boards_s) / many.count:.2f} s of the station,"
        f" {many.boards_s / many.count:.2f} s of the virtual board"
    )
    least, most = _peak(one.count), _peak(many.count)
    each = (most - least) / (many.count - one.count)
    figures["memory"] = f"{least / 1e6:.0f} MB with one board, {each / 1e6:.1f} MB a board more"
    return figures


@contextlib.contextmanager
def _bench(count: int) -> Iterator[fleetdesk.Bench]:
    """A project with its broker, and so many boards."""
    with tempfile.TemporaryDirectory() as folder:
        made = desk.make_project(Path(folder) / "fleet")
        runtime = Path(folder) / "runtime"
        with desk.broker(made), fleetdesk.bench(made, runtime, count, paced=True) as bench:
            yield bench


def _measured(bench: fleetdesk.Bench, count: int) -> Batch:
    before, looks = (_computer_s(), _tree_s(bench.pid)), [(time.monotonic(), _computer_s())]

    def look() -> None:
        looks.append((time.monotonic(), _computer_s()))

    with _running(bench, count) as station, _meanwhile(look, _SAMPLE_S):
        start = time.monotonic()
        _end(station)
        seconds = time.monotonic() - start
    after = _computer_s(), _tree_s(bench.pid)
    return Batch(count, seconds, after[0] - before[0], after[1] - before[1], _full_s(looks))


def _full_s(looks: list[tuple[float, float]]) -> float:
    """For how long the processors were in use, of looks at the time and at their time."""
    cores = os.cpu_count() or 1
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(looks)]
    return sum(seconds for seconds, used in steps if used >= BUSY * cores * seconds)


def _peak(count: int) -> int:
    """The most memory of a station with so many boards at once, in bytes."""
    found = [0]
    with _bench(count) as bench, _running(bench, count) as station:

        def look() -> None:
            pids = family.descent(station.pid, family.children())
            found.append(sum(map(family.memory, pids)))

        with _meanwhile(look, _MEMORY_SAMPLE_S):
            _end(station)
    return max(found)


@contextlib.contextmanager
def _meanwhile(look: Callable[[], None], each_s: float) -> Iterator[None]:
    """Have somebody look every so many seconds, until the end of the context."""
    over = threading.Event()

    def looking() -> None:
        while not over.wait(each_s):
            look()

    looker = threading.Thread(target=looking)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()


def _running(
    bench: fleetdesk.Bench, count: int
) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return bench.running("run", "--count", str(count), "--json", "--jobs", str(count))


def _end(station: subprocess.Popen[str]) -> None:
    out, err = station.communicate(timeout=fleetdesk.LIMIT_S)
    assert station.returncode == 0, out + err


def _tree_s(pid: int) -> float:
    return sum(map(family.cpu_s, family.descent(pid, family.children())))


def _computer_s() -> float:
    """Seconds of processor that the computer has used, of all but idle and waiting for disks."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    used = sum(map(int, fields[:8])) - int(fields[3]) - int(fields[4])
    return used / os.sysconf("SC_CLK_TCK")
