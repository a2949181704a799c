"""Measures each figure that the README states: `make bench`, or `run.py NAME...` for some."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

BENCHES = (
    *("agent", "observer", "image", "upload", "issue", "crl"),
    *("manifest", "registry", "fleet", "watch"),
)


def main() -> None:
    """Print a table a bench."""
    here = Path(__file__).parent
    sys.path[:0] = [str(here), str(here.parent / "tests")]
    names = sys.argv[1:] or BENCHES
    for name in names:
        print(f"## {name}", flush=True)
        figures = importlib.import_module(name).measure()
        width = max(map(len, figures))
        for label, value in figures.items():
            print(f"  {label:<{width}}  {value}")
        print(flush=True)


if __name__ == "__main__":
    main()
