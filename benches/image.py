"""What one board's image costs on the wire, and how near writing it comes to the line's limit.

Writes with the real esptool to a virtual board, whose line is as slow as a real one. Not in it: the
time that a real flash chip takes to erase, 45 ms a sector on common ones.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence

from firmshake import bundle, flash, image, partitions
from firmshake.image import Run
from firmshake.virtual import VirtualBoard

BAUD = 921600
BITS_A_BYTE = 10
GOAL = 1.25
REPEATS = 3

FILESYSTEM = partitions.Region(0x200000, 0x200000)

# As large as the real ones: EC P-256 keys and certificates hardly compress
IDENTITY = {"key.der": 121, "cert.der": 1000, "ca.der": 500, "settings.json": 300}


def measure() -> dict[str, str]:
    """The figures by name."""
    files = bundle.agent_files()
    files |= {f"/firmshake/{name}": os.urandom(size) for name, size in IDENTITY.items()}
    made = image.build(files, FILESYSTEM.block_count)
    runs = made.at(FILESYSTEM.offset)
    compressed = sum(len(zlib.compress(run.data, 9)) for run in runs)
    with VirtualBoard() as board:
        # bytes that compress: esptool sends others as a whole padded block
        fixed = _seconds(board, [Run(FILESYSTEM.offset, bytes(256))])
        whole = _seconds(board, runs)
    limit = compressed * BITS_A_BYTE / BAUD + fixed
    return {
        "a board's files": f"{sum(map(len, files.values()))} bytes",
        "its filesystem": f"{made.size} bytes",
        "blocks that travel": f"{sum(len(run.data) for run in runs)} bytes in {len(runs)} runs",
        "on the wire, compressed": f"{compressed} bytes",
        "esptool's fixed start": f"{fixed:.2f} s",
        f"written at {BAUD} baud": f"{whole:.2f} s",
        f"of the limit (goal: within {GOAL})": f"{whole / limit:.2f}",
    }


def _seconds(board: VirtualBoard, runs: Sequence[Run]) -> float:
    """The best of a few: what else runs on the computer only ever adds."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        flash.write(board.url, runs, baud=BAUD, chip="ESP32")
        best = min(best, time.perf_counter() - start)
    return best
