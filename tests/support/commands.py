"""Runs a command of firmshake in this process, with its secrets on a descriptor, as scripts do."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from firmshake.cli.commands import firmshake
from firmshake.errors import Error

# stands for the descriptor among the words of a command
FD = object()


@dataclass(frozen=True)
class Done:
    """How a command ended: `error` is None where it did its work."""

    status: int
    out: str
    err: str
    error: Error | None

    @property
    def message(self) -> str:
        """The error's message."""
        assert self.error, self.out + self.err
        return self.error.message

    @property
    def hint(self) -> str:
        """The error's hint."""
        assert self.error, self.out + self.err
        return self.error.hint


def run(*words: object, secrets: tuple[bytes, ...] = ()) -> Done:
    """Run `firmshake WORDS...`; FD among the words is where `secrets` can be read, one a line.

    Whatever else than an Error the command raises is raised: users never see such.
    """
    reading, writing = os.pipe()
    os.write(writing, b"".join(secret + b"\n" for secret in secrets))
    os.close(writing)
    try:
        given = [str(reading if word is FD else word) for word in words]
        result = CliRunner().invoke(firmshake, given)
    finally:
        os.close(reading)
    error = result.exception if isinstance(result.exception, Error) else None
    if result.exception and not (error or isinstance(result.exception, SystemExit)):
        raise result.exception
    status = error.status if error else result.exit_code
    return Done(status, result.stdout, result.stderr, error)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: its files by name, with their modes and contents."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
