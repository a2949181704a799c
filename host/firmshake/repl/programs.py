"""The programs that run on the board, made small for the way there: no comments, narrow indents."""

from __future__ import annotations

import functools
import io
import tokenize
from importlib.resources import files

# Where the files of an upload lie until all of them are there
STAGE = "/firmshake.new"


def program(name: str, **constants: object) -> str:
    """The source of board/NAME.py behind a line for each of `constants`."""
    given = "".join(f"{key}={value!r}\n" for key, value in constants.items())
    return given + _source(name)


def finisher(entry: str) -> bytes:
    """The program that takes the entry point's place while files are moved."""
    text = _text("finish").replace("{stage}", STAGE).replace("{entry}", entry)
    mark, _, rest = text.partition("\n")
    return f"{mark}\n{_small(rest)}".encode()


def finisher_mark() -> str:
    """How that program begins, in every version of firmshake."""
    return _text("finish").partition("\n")[0]


@functools.cache
def _source(name: str) -> str:
    return _small(_text(name))


def _text(name: str) -> str:
    return (files("firmshake.repl") / "board" / f"{name}.py").read_text("utf-8")


def _small(source: str) -> str:
    """The same program without comments and empty lines, a space an indent."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    kept = [line.rstrip() for line in lines if line.strip()]
    return "\n".join(_dedented(line) for line in kept) + "\n"


def _dedented(line: str) -> str:
    text = line.lstrip(" ")
    return " " * ((len(line) - len(text)) // 4) + text
