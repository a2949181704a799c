"""Numbers in large digits of blocks, to be read from two metres. Does no I/O."""

from __future__ import annotations

HEIGHT = 5
_WIDTH = 3

# five rows of three dots each
_DOTS = {
    "0": ("###", "# #", "# #", "# #", "###"),
    "1": (" # ", "## ", " # ", " # ", "###"),
    "2": ("###", "  #", "###", "#  ", "###"),
    "3": ("###", "  #", " ##", "  #", "###"),
    "4": ("# #", "# #", "###", "  #", "  #"),
    "5": ("###", "#  ", "###", "  #", "###"),
    "6": ("###", "#  ", "###", "# #", "###"),
    "7": ("###", "  #", "  #", " # ", " # "),
    "8": ("###", "# #", "###", "# #", "###"),
    "9": ("###", "# #", "###", "  #", "###"),
    "/": ("  #", "  #", " # ", "#  ", "#  "),
}


def width(text: str, dot: int) -> int:
    """The columns that `large` takes."""
    return (len(text) * (_WIDTH + 1) - 1) * dot


def large(text: str, dot: int, block: str = "█") -> list[str]:
    """Return HEIGHT lines that show `text`, of digits and "/"; a dot is `dot` columns wide.

    Columns are half as wide as they are high: with two of them, dots are square.
    """
    lines = []
    for row in range(HEIGHT):
        dots = " ".join(_DOTS[char][row] for char in text)
        lines.append("".join((block if char == "#" else " ") * dot for char in dots))
    return lines
