"""Changes CircuitPython's settings.toml, and leaves every other line of the user's as it is.

CircuitPython reads a small part of TOML (shared-module/os/getenv.c): one `KEY = value` a line, the
value a string in double quotes or an integer, before the first table. Does no I/O.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

from firmshake.errors import Error

Value = str | int

# a bare key at the beginning of a line, and what stands before its value
_KEY = re.compile(r"[ \t]*([A-Za-z0-9_-]+)[ \t]*=")
_TABLE = re.compile(r"[ \t]*\[")


def merge(text: str, values: Mapping[str, Value]) -> str:
    """Return `text` with these values, in place of those of the same keys or else before any table.

    Every other line, its order, its end and its comments stay. A text that has the values already
    is returned as it is. Raises Error where `text` is no TOML, or has one of the keys twice.
    """
    present = _parse(text)
    wanted = {key: value for key, value in values.items() if present.get(key) != value}
    if not wanted:
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # other line ends are none in TOML
    begin = _first_table(lines)
    top, rest = lines[:begin], lines[begin:]
    for place, line in enumerate(top):
        found = _KEY.match(line)
        if found and found[1] in wanted:
            top[place] = f"{found[1]} = {_quote(wanted.pop(found[1]))}{end}"
    if wanted and top and not top[-1].endswith(("\n", "\r")):
        top[-1] += end
    top += [f"{key} = {_quote(value)}{end}" for key, value in wanted.items()]
    merged = "".join((*top, *rest))
    if not _says(merged, {**present, **values}):  # a value of several lines, or such
        raise Error(
            "settings.toml sets a value in a way that can't be changed line by line",
            hint=f"write {', '.join(values)} on a line of its own there, then run this again",
        )
    return merged


def _says(text: str, values: Mapping[str, object]) -> bool:
    try:
        return _parse(text) == values
    except Error:
        return False


def _parse(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:
        raise Error(
            f"settings.toml is not TOML: {error}", hint="mend the line; nothing was changed"
        ) from None


def _first_table(lines: list[str]) -> int:
    return next((place for place, line in enumerate(lines) if _TABLE.match(line)), len(lines))


def _quote(value: Value) -> str:
    """As both TOML and CircuitPython read it."""
    if isinstance(value, int):
        return str(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
