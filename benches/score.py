"""Is each fault named rightly? Every case of `firmshake faults`, on every runtime: `make score`.

Prints a table, writes benches/results/score.json, and exits with 1 below 100 % of stages or 97 % of
causes.
`score.py --docs` also asks stock clients, and writes the whole to docs/diagnosis.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "score.json"

STAGES_WANTED = 1.0
CAUSES_WANTED = 0.97

# of each stage, for the faults that are a silence; what is not one is over long before
LIMIT_MS = 2500
# Two processes at a time: a run that starves names time-outs that are none
AT_ONCE = 2


@dataclass(frozen=True)
class Result:
    """One case under one TLS version on one runtime."""

    case: str
    version: str
    runtime: str
    expected: str
    said: str
    seconds: float

    @property
    def stage_right(self) -> bool:
        """The stage, and within TLS the step."""
        return self.said.partition("/")[0] == self.expected.partition("/")[0]

    @property
    def cause_right(self) -> bool:
        """The whole verdict."""
        return self.said == self.expected


def runtimes() -> dict[str, Callable[..., object]]:
    """What runs the agent, by name, as functions like climb.run."""
    from support import circuitpython

    from firmshake import climb

    return {
        "micropython": partial(climb.run, runtime="micropython"),
        "micropython32": partial(climb.run, runtime="micropython", bits=32),
        "cpython": partial(climb.run, runtime="cpython"),
        "circuitpython": circuitpython.run,
    }


def measure(names: Sequence[str] = ()) -> Iterator[Result]:
    """Each result as it comes."""
    from firmshake.faults import Faults

    with Faults(names) as faults, ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [
            partial(_one, faults, row, name, run)
            for row in faults.rows
            for name, run in runtimes().items()
            # its firmware speaks TLS 1.2 and nothing else
            if not (name == "circuitpython" and row.version == "1.3")
        ]
        yield from pool.map(lambda job: job(), jobs)


def _one(faults: object, row: object, name: str, run: Callable[..., object]) -> Result:
    case = row.case
    # the 32-bit build is the same runtime: it knows as much
    expected = case.expected(row.version, name.removesuffix("32"))
    settings = {"limit_ms": LIMIT_MS, **faults.settings(row)}
    started = time.monotonic()
    verdict = run(settings, faults.files(case.client), hold=case.holds)
    took = time.monotonic() - started
    return Result(case.name, row.version, name, expected, str(verdict.verdict), round(took, 2))


def report(results: Sequence[Result]) -> bool:
    """Print the table and the sums; whether both are good enough."""
    print(f"{'case':<34} {'TLS':<4} {'runtime':<14} {'s':>6}  verdict")
    for result in results:
        mark = "" if result.cause_right else f"   <- expected {result.expected}"
        row = f"{result.case:<34} {result.version:<4} {result.runtime:<14} {result.seconds:>6.2f}"
        print(f"{row}  {result.said}{mark}")
    stages = sum(result.stage_right for result in results) / len(results)
    causes = sum(result.cause_right for result in results) / len(results)
    slowest = max(results, key=lambda result: result.seconds)
    print(f"\n{len(results)} climbs: stage right in {stages:.1%}, cause right in {causes:.1%}")
    print(f"slowest verdict: {slowest.seconds} s ({slowest.case})")
    return stages >= STAGES_WANTED and causes >= CAUSES_WANTED


def main() -> None:
    """Score the cases named, all where none is, and exit with the outcome."""
    sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]
    names = [name for name in sys.argv[1:] if not name.startswith("--")]
    results = []
    for result in measure(names):
        results.append(result)
        if sys.stderr.isatty():
            print(f"\r{len(results)} climbs", end="", file=sys.stderr, flush=True)
    good = report(results)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    if "--docs" in sys.argv:
        import diagnosis

        diagnosis.write(results)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
