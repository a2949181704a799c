"""The styles of the live view, by name. Does no I/O.

States are told by words as well: without colours nothing is lost, and what failed is reversed.
"""

from __future__ import annotations

from rich.style import Style

# a piece of a line: its text, and the name of its style, "" for none
Piece = tuple[str, str]
Row = tuple[Piece, ...]

STYLES = {
    "waiting": Style(dim=True),
    "working": Style(bold=True, color="bright_white", bgcolor="blue"),
    "proved": Style(bold=True, color="black", bgcolor="green"),
    "failed": Style(bold=True, color="bright_white", bgcolor="red"),
    "refused": Style(bold=True, color="black", bgcolor="yellow"),
    "gone": Style(bold=True, color="black", bgcolor="white"),
    "digits proved": Style(bold=True, color="green"),
    "digits failed": Style(bold=True, color="red"),
    "bar": Style(color="blue"),
    "bar proved": Style(color="green"),
    "wrong": Style(color="red"),
    "bold": Style(bold=True),
    "dim": Style(dim=True),
}

WITHOUT_COLOUR = {
    name: Style(bold=style.bold, dim=style.dim, reverse=name == "failed")
    for name, style in STYLES.items()
}
