"""Text of a board's that passes through to a terminal: its colours work, and nothing else does.

A board, or whoever wrote a log, could else set the terminal's title or clipboard, hide lines, or
have it answer as if somebody typed. Does no I/O.
"""

from __future__ import annotations

import re

# ECMA-48, 8.3.117: Select Graphic Rendition. One that begins with another byte is private
_SGR = re.compile(r"\x1b\[[0-9;:]*m")
# what the next piece may complete to one; no real one is longer
_BEGUN = re.compile(r"\x1b(?:\[[0-9;:]{0,40})?\Z")
# the Unicode category Cc: C0, DEL and C1, of which a terminal may take U+009B for ESC [
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Passing:
    """Takes text piece by piece, and keeps the beginning of a sequence that is cut until later."""

    def __init__(self) -> None:
        self._kept = ""

    def feed(self, text: str) -> str:
        """What is to be shown of the text now."""
        text = self._kept + text
        begun = _BEGUN.search(text)
        self._kept = begun[0] if begun else ""
        return _written_out(text[: len(text) - len(self._kept)])

    def end(self) -> str:
        """What was kept, written out: nothing completes it."""
        kept, self._kept = self._kept, ""
        return _written_out(kept)


def _written_out(text: str) -> str:
    """The text with all controls written out but for colours, tabs and line ends."""
    plain = [_CONTROL.sub(_name, part) for part in _SGR.split(text)]
    colours = [*_SGR.findall(text), ""]
    return "".join(part + colour for part, colour in zip(plain, colours, strict=True))


def _name(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
