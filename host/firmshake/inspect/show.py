"""Things as lines for people: what is wrong first, then what each of them is. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from firmshake.ca.finding import NOTE, WARNING, WRONG, Finding
from firmshake.inspect.thing import Thing
from firmshake.ladderview import Hanging, Line
from firmshake.wording import printable

# key of a fact: what it is called for people
WORDS = {
    "subject": "subject",
    "issuer": "issued by",
    "serial": "serial",
    "valid": "valid",
    "names": "names",
    "key": "key",
    "form": "form",
    "encryption": "encryption",
    "integrity": "integrity",
    "signed": "signed with",
    "usages": "good for",
    "ca": "CA",
    "revoked": "revoked",
    "number": "number",
    "sha256": "SHA-256",
    "key_sha256": "key SHA-256",
    "belongs_to": "belongs to",
    "issued_by": "issued by",
    "chain": "chain",
    "device": "device",
    "broker": "broker",
    "server_name": "as",
    "wifi": "Wi-Fi",
    "wifi_password": "its password",
    "made": "made",
    "fleet": "fleet",
    "chip": "chip",
    "version": "version",
    "idf": "ESP-IDF",
    "offset": "at",
    "size": "size",
    "partitions": "partitions",
    "family": "blocks",
    "files": "files",
}
# what one line of a folder's list says of a file
_BRIEF = ("valid", "encryption", "belongs_to", "revoked", "device", "broker", "version")

_MARKS = {WRONG: ("✗", "bold red"), WARNING: ("!", "yellow"), NOTE: ("·", "dim")}
_FIX = 9
_COLUMN = 13  # of a fact, behind its indent: a SHA-256 just fits into 80 columns beside it
_LISTED = ("folder", "project", "circuitpython", "littlefs", "fat", "uf2", "flash", "firmware")


def show(things: Sequence[Thing]) -> RenderableType:
    """All of the things, each with its findings first."""
    parts: list[RenderableType] = []
    for one in things:
        if parts:
            parts.append(Text(""))
        parts += _whole(one)
    return Group(*parts)


def _whole(one: Thing) -> Iterator[RenderableType]:
    name = "standard input" if one.where == "-" else one.where
    yield Text(printable(f"{name}: {one.title}"), "bold")
    said = one.said()
    for number, (of, found) in enumerate(said):
        again = number + 1 < len(said) and said[number + 1][1].fix == found.fix
        yield from _finding(found, _place(of, one), with_fix=not again)
    if not any(found.severity in (WRONG, WARNING) for _, found in said) and not one.shut:
        yield Line(Text("✓ nothing is wrong with it", "green"))
    yield from _facts(one, 2)
    for part in one.inside:
        yield from _part(part, one, brief=one.kind in _LISTED)


def _finding(found: Finding, place: str, *, with_fix: bool) -> Iterator[RenderableType]:
    mark, style = _MARKS[found.severity]
    text = f"{place}: {found.what}" if place else found.what
    yield Hanging(Text(mark, style), Text(printable(text), style), 2, 0)
    if found.fix and with_fix:
        yield Hanging(Text("fix", "bold"), Text(printable(found.fix)), _FIX)


def _place(one: Thing, top: Thing) -> str:
    """Where it lies within the thing that was asked for; "" for that itself."""
    if one is top:
        return ""
    return one.where.removeprefix(top.where).lstrip("/:, ") or ""


def _part(one: Thing, top: Thing, *, brief: bool) -> Iterator[RenderableType]:
    place = _place(one, top)
    style = "red" if one.wrong else "bold"
    head = f"{place}: {one.title}" if place else one.title
    yield Hanging(Text(""), Text(printable(head), style), 2, 0)
    if brief and one.kind not in _LISTED:
        said = "; ".join(f"{WORDS[key]} {value}" for key, value in one.facts if key in _BRIEF)
        if said:
            yield Hanging(Text(""), Text(printable(said), "dim"), 4, 0)
    else:
        yield from _facts(one, 3)
    for inner in one.inside:
        yield from _part(inner, top, brief=brief or one.kind in _LISTED)


def _facts(one: Thing, indent: int) -> Iterator[RenderableType]:
    for key, value in one.facts:
        column = indent + _COLUMN
        yield Hanging(Text(WORDS[key], "dim"), Text(printable(value)), column, indent)
