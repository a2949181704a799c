"""A board's files, held in memory: what the agent reads its settings and identity from."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, field

from support import handshake


@dataclass(frozen=True)
class Source:
    """Settings as a value or as bytes, and files by name; what is not there cannot be read."""

    settings: object
    files: dict[str, bytes] = field(default_factory=lambda: handshake.fleet().files())

    def read(self, name: str) -> bytes:
        """The file's bytes. Raises OSError."""
        if name == "settings.json":
            given = self.settings
            return given if isinstance(given, bytes) else json.dumps(given).encode()
        if name not in self.files:
            raise OSError(errno.ENOENT, "no such file")
        return self.files[name]
