"""`make fuzz`: each target for its share of the time, one after the other, and a line on each.

What the fuzzer finds is kept in `.fuzz`: a corpus that grows from run to run, and the inputs that
broke a rule. Exit status 1 where there is one.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
sys.path[:0] = [str(HERE.parent)]

from fuzz.targets import NAMES  # noqa: E402

KEPT = SOURCE / ".fuzz"
LONGEST = 8192  # of an input: twice what any target keeps
# rules that the fuzzer watches over: memory in MB, and seconds for one input
MEMORY, TIME = 512, 10


class Result(NamedTuple):
    """What a run came to."""

    name: str
    runs: int
    before: int
    after: int
    crashes: list[Path]
    failed: bool

    def line(self) -> str:
        """The summary."""
        end = f"{len(self.crashes)} CRASHES" if self.crashes else "no crash"
        if self.failed and not self.crashes:
            end = "DID NOT RUN"
        new = self.after - self.before
        return f"{self.name:<11} {self.runs:>10,} runs  coverage {self.after:>5} (+{new})  {end}"


def main() -> int:
    """Fuzz; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("target", nargs="*", choices=[*NAMES, []], help="all of them by default")
    options = parser.parse_args()
    names = options.target or NAMES
    share = max(1, options.seconds // len(names))
    bad = False
    try:
        for name in names:
            result = fuzz(name, share)
            print(result.line(), flush=True)
            bad = bad or result.failed
            for crash in result.crashes:
                print(f"  repeat: .venv/bin/python tests/fuzz/one.py {name} {crash}")
    except KeyboardInterrupt:
        return 130
    return int(bad)


def fuzz(name: str, seconds: int) -> Result:
    """Run one target for so many seconds, or until it breaks a rule."""
    grown, crashes = KEPT / "corpus" / name, KEPT / "crashes" / name
    for folder in (grown, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    old = set(crashes.iterdir())
    run = subprocess.run(
        [
            *(sys.executable, str(HERE / "one.py"), name, "--fuzz"),
            *(f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-print_final_stats=1"),
            *(f"-rss_limit_mb={MEMORY}", f"-timeout={TIME}", f"-artifact_prefix={crashes}/"),
            *(str(grown), str(HERE / "corpus" / name)),
        ],
        cwd=SOURCE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    said = run.stdout
    new = sorted(set(crashes.iterdir()) - old)
    for crash in new:
        crash.with_suffix(".txt").write_text(said[-8000:])
    if run.returncode and not new:
        print(said[-2000:], file=sys.stderr)
    return Result(
        name,
        _number(r"number_of_executed_units: (\d+)", said) or _number(r"^#(\d+)", said),
        _number(r"INITED cov: (\d+)", said, first=True),
        _number(r"cov: (\d+)", said),
        [path.relative_to(SOURCE) for path in new],
        run.returncode != 0,
    )


def _number(pattern: str, text: str, first: bool = False) -> int:
    found = re.findall(pattern, text, re.MULTILINE)
    return int(found[0 if first else -1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
