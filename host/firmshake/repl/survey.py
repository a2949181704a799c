"""What a board holds of the files that an upload may change."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from firmshake.repl import programs
from firmshake.repl.rawrepl import Broken, RawRepl

# Reading 200 KB from a slow flash, and finishing an update before
_LIMIT_S = 30.0


class Held(NamedTuple):
    """The SHA-256 of each file by its path, bytes free, whether an update was finished only now."""

    files: dict[str, bytes]
    free: int
    was_unfinished: bool


def survey(repl: RawRepl, files: Mapping[str, bytes], folders: tuple[str, ...], entry: str) -> Held:
    """What lies in `folders`, in the place of `files`, or would hide one of them.

    An update that was cut short behind its point of no return is finished first. Raises Error where
    the board does not answer.
    """
    single = tuple(path for path in _with_sources(files) if not path.startswith(_within(folders)))
    out = repl.run(
        programs.program(
            "survey",
            OWNED=folders,
            SINGLE=single,
            ENTRY=entry,
            STAGE=programs.STAGE,
            MARK=programs.finisher_mark().encode(),
        ),
        _LIMIT_S,
    )
    lines = out.splitlines()
    try:
        found = dict(_file(line) for line in lines if line.startswith("file "))
        (free,) = (int(line.split()[1]) for line in lines if line.startswith("free "))
    except ValueError:
        raise Broken(repl.wire.name, "a garbled list of its files") from None
    return Held(found, free, "finished" in lines)


def _with_sources(files: Iterable[str]) -> Iterable[str]:
    """Each path, and the source beside a compiled file: it would be imported instead."""
    for path in files:
        yield path
        if path.endswith(".mpy"):
            yield path.removesuffix(".mpy") + ".py"


def _within(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(folder + "/" for folder in folders)


def _file(line: str) -> tuple[str, bytes]:
    _, _, digest, path = line.split(" ", 3)
    return path, base64.b64decode(digest, validate=True)
