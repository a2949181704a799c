"""One module a parser.

Each has `one(data)`, which raises where the parser breaks a rule and returns where it keeps them,
`WORK`, the most lines of Python that it may take for a byte, and `HARD`, what is hard for it: pairs
of a beginning and of what may follow again and again.
"""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = (
    "answer",
    "der",
    "esptool",
    "filesystems",
    "firmware",
    "inspect",
    "link",
    "loader",
    "manifest",
    "mqtt5",
    "ntp",
    "observer",
    "partitions",
    "reader",
    "session",
    "slip",
    "uf2",
    "websocket",
    "x509",
)


def load(name: str) -> ModuleType:
    """The target of that name."""
    return importlib.import_module(f"fuzz.targets.{name}")
