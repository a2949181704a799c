"""A manifest as CSV: a header with the names of the columns, then a row for each device.

RFC 4180 with a field on one line, whatever the quotes: so one that was not closed is found where
it is. The separator is ",", ";" (spreadsheets in many countries) or a tab: the one that the header
has. A line that begins with "#" is a comment, and one without any value is left out. Does no I/O.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from firmshake.errors import Error
from firmshake.fleet import columns
from firmshake.fleet.planning import Planning
from firmshake.fleetfile import KEYS

SEPARATORS = ",;\t"
NONE = "none"  # clock.ntp = [] in TOML
_HEADER = f"it has the names of the columns: {', '.join(columns.COLUMNS)}, and settings"

# what Excel writes, and takes, to name the separator
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
# what may be blank at its ends and mean it
_EXACT = ("wifi.ssid", "wifi.password")
_ROW = {
    each: re.compile(
        rf'(?:"(?:[^"]|"")*+"|[^"{each}]*+)(?:{each}(?:"(?:[^"]|"")*+"|[^"{each}]*+))*+'
    )
    for each in SEPARATORS
}

_Lines = Iterable[tuple[int, str]]


class _Column(NamedTuple):
    place: int
    name: str
    value: Callable[[str], object]  # of the text in a field, "" for none


def parse(lines: _Lines, plan: Planning) -> None:
    """Plan the rows in these lines, which have numbers; what is wrong is told to `plan`."""
    left = iter(lines)
    head = _header(left, plan)
    if head is None:
        return
    for number, text in left:
        if not text or text[0] == "#":
            continue
        try:
            cells = _cells(text, head)
        except Error as error:
            plan.told.note(number, error)
            continue
        values = {}
        for place, name, value in head.columns:
            cell = cells[place]
            if cell and (taken := value(cell)) != "":
                values[name] = taken
        if values:
            plan.add(number, values)


class _Head(NamedTuple):
    separator: str
    width: int
    columns: tuple[_Column, ...]


def _header(lines: Iterator[tuple[int, str]], plan: Planning) -> _Head | None:
    """What the header says; None where it is none, which is told."""
    given = ""
    for number, text in lines:
        if not text.strip() or text[0] == "#":
            continue
        if found := _SEP.fullmatch(text):
            given = found[1]
            continue
        try:
            separator = _separator(text, given)
            names = [name.strip().lower() for name in _fields(text, separator)]
            return _Head(separator, len(names), tuple(_columns(number, names, plan)))
        except Error as error:
            plan.told.note(number, error)
            return None
    plan.told.add(1, "there is no header", hint=_HEADER)
    return None


def _separator(header: str, given: str) -> str:
    if "\r" in header:
        raise Error("the lines end in CR alone", hint="save the file as CSV UTF-8")
    found = given or "".join(each for each in SEPARATORS if each in header)
    if len(found) > 1 or found not in SEPARATORS:
        raise Error(
            "the header does not tell the separator",
            hint="part the names of the columns by ',', by ';' or by tabs: by one of these only",
        )
    return found or ","


def _columns(line: int, names: Sequence[str], plan: Planning) -> Iterator[_Column]:
    """The columns that are known; others are told, by name only where it is a header indeed."""
    if "id" not in names:
        raise Error("the first line names no column 'id'", hint=_HEADER)
    for place, name in enumerate(names):
        if name in columns.NAMES:
            if name in names[:place]:
                plan.told.add(line, f"the column {name} is there twice", "remove one of them")
            else:
                yield _Column(place, name, _reader(name))
        elif name:
            plan.told.note(line, columns.unknown(name, plan.guesses, "column"))
        elif any(names[place:]):
            plan.told.add(line, f"column {place + 1} has no name", "name it, or remove it")


def _reader(name: str) -> Callable[[str], object]:
    """What makes a value of the text in a field of that column; "" where there is none.

    Text that will not do is left as it is, for the check of the value to refuse.
    """
    if name in _EXACT:
        return str
    kind = int if name == "count" else KEYS[name].kind if name in KEYS else str
    return {int: _whole, list: _list}.get(kind, str.strip)


def _whole(text: str) -> object:
    text = text.strip()
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else text


def _list(text: str) -> object:
    return [] if text.strip().lower() == NONE else text.split() or ""


def _cells(text: str, head: _Head) -> Sequence[str]:
    """The fields of a row, as many as there are columns."""
    cells = _fields(text, head.separator)
    if len(cells) == head.width:
        return cells
    if not any(cell.strip() for cell in cells):
        return [""] * head.width
    if len(cells) > head.width and not any(cells[head.width :]):
        return cells  # a spreadsheet's empty columns
    raise Error(
        f"the row has {_many(len(cells))}, and the header {head.width}",
        hint="put what holds the separator in quotes, and write empty fields, too",
    )


def _many(count: int) -> str:
    return f"{count:,} fields" if count != 1 else "1 field"


def _fields(text: str, separator: str) -> Sequence[str]:
    if '"' not in text:
        return text.split(separator)
    if not _ROW[separator].fullmatch(text):
        raise Error(
            "the quotes in this line are not closed, or not where a field begins and ends",
            hint="put the whole field in quotes, on one line, and write each quote in it twice",
        )
    try:
        return next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        raise Error("a field is too long", hint="see whether quotes are missing") from error
