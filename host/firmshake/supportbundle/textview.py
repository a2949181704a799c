"""A text as it reads with its escapes undone, from which spans lead back to the text itself.

A secret in a text may be percent-encoded, in JSON, in JSON within JSON, or wrapped over lines. It
is looked for in a view of the text, and taken out of the text. Does no I/O.
"""

from __future__ import annotations

import bisect
import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

from firmshake.supportbundle.forms import utf8

Span = tuple[int, int]

_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_BACKSLASH = re.compile(
    r"(?:\\u[0-9A-Fa-f]{4})+|(?:\\x[0-9A-Fa-f]{2})+|\\U[0-9A-Fa-f]{8}|\\[0-3][0-7]{2}|\\."
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|\w{2,8});")
# What stands between the parts of what was wrapped, quoted or grouped: of base64 in lines, of hex
# with colons, of text in UTF-16
_BETWEEN = re.compile(r"[\s\x00\"',:;\\|>#]+|0x(?=[0-9A-Fa-f]{2})")
_SHORT = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_LOWER = {ord(char): char.lower() for char in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class TextView:
    """`text` is how it reads; `origin` where that stands in the text that the view was made of."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._below: TextView | None = None
        # where each piece begins here, and which span it has below
        self._starts: list[int] = []
        self._spans: list[Span] = []

    def origin(self, start: int, end: int) -> Span:
        """Return the span of the first text that reads as this, which is not empty, here."""
        if self._below is None:
            return start, end
        return self._below.origin(self._place(start)[0], self._place(end - 1)[1])

    def percent_undone(self) -> TextView:
        """Return the view with %XX as the characters that they stand for."""
        return self._changed(_PERCENT, lambda found: utf8(unquote_to_bytes(found[0])))

    def backslashes_undone(self) -> TextView:
        """Return the view with the escapes of JSON, TOML, C and Python undone, once."""
        return self._changed(_BACKSLASH, _unescaped)

    def entities_undone(self) -> TextView:
        """Return the view with HTML's and XML's entities undone."""
        return self._changed(_ENTITY, lambda found: html.unescape(found[0]))

    def squashed(self) -> TextView:
        """Return the view without white space, quotes and what else separates parts."""
        return self._changed(_BETWEEN, lambda found: "")

    def lower(self) -> TextView:
        """Return the view in lower case, of ASCII alone: every character keeps its place."""
        made = TextView(self.text.translate(_LOWER))
        made._below, made._starts, made._spans = self._below, self._starts, self._spans
        return made

    def _changed(
        self, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str]
    ) -> TextView:
        made, parts, length = TextView(""), [], 0
        for start, end, text in _pieces(self.text, pattern, change):
            if text:
                made._starts.append(length)
                made._spans.append((start, end))
                parts.append(text)
                length += len(text)
        made.text, made._below = "".join(parts), self
        return made

    def _place(self, offset: int) -> Span:
        """The span below that one character here came from."""
        number = bisect.bisect_right(self._starts, offset) - 1
        start, end = self._spans[number]
        last = self._starts[number + 1] if number + 1 < len(self._starts) else len(self.text)
        if end - start != last - self._starts[number]:
            return start, end  # it was changed: all of it
        place = start + offset - self._starts[number]
        return place, place + 1


def _pieces(
    text: str, pattern: re.Pattern[str], change: Callable[[re.Match[str]], str]
) -> Iterator[tuple[int, int, str]]:
    """What a text consists of: where each piece is, and how it reads."""
    done = 0
    for found in pattern.finditer(text):
        if found.start() > done:
            yield done, found.start(), text[done : found.start()]
        yield found.start(), found.end(), change(found)
        done = found.end()
    if done < len(text):
        yield done, len(text), text[done:]


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0]
    if escape[1] in "uU" and len(escape) > 2:
        codes = re.findall(r"\\[uU]([0-9A-Fa-f]+)", escape)
        units = b"".join(_utf16(int(code, 16)) for code in codes)
        return units.decode("utf-16-be", "replace")
    if escape[1] == "x" and len(escape) > 2:
        return utf8(bytes.fromhex(escape.replace("\\x", "")))
    if escape[1] in "0123" and len(escape) == 4:
        return chr(int(escape[1:], 8))
    return _SHORT.get(escape[1], escape[1])


def _utf16(code: int) -> bytes:
    if code > 0x10FFFF:
        return b"\xff\xfd"
    return chr(code).encode("utf-16-be", "surrogatepass")
