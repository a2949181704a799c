"""One target: under the fuzzer (`--fuzz`, then libFuzzer's own arguments), or on given files.

`python tests/fuzz/one.py observer FILE` repeats a crash, and needs no fuzzer.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from fuzz import targets  # noqa: E402


def main(name: str, arguments: list[str]) -> None:
    """Run the target; it raises where a rule is broken."""
    if arguments[:1] != ["--fuzz"]:
        target = targets.load(name)
        for path in arguments:
            target.one(Path(path).read_bytes())
        return
    import atheris

    with atheris.instrument_imports(include=["firmshake", "firmshake_agent", "adafruit_minimqtt"]):
        target = targets.load(name)
    atheris.Setup([sys.argv[0], *arguments[1:]], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
