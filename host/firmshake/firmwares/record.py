"""Firmware as JSON has it. Does no I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firmshake.boards.table import BOARDS
from firmshake.firmwares.identify import File, fits


def of(file: File, path: Path) -> dict[str, Any]:
    """Return a firmware file and where it is kept; `boards` are those that it fits."""
    return {
        "boards": [board.name for board in BOARDS if fits(file, board)],
        "chip": file.chip,
        "runtime": file.runtime,
        "version": file.version,
        "machine": file.machine,
        "sha256": file.sha256,
        "size": len(file.data),
        "path": str(path),
    }
