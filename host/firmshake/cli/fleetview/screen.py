"""Writes lines to a terminal's second screen, and of those only what has changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from rich.color import ColorSystem
from rich.console import Console
from rich.control import Control

from firmshake.cli.fleetview.styles import STYLES, WITHOUT_COLOUR, Row

_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
}
# what rich cannot show on an ASCII-only terminal, and would put "?" for
_ASCII = str.maketrans({"…": "~"})


class Screen:
    """The second screen of a terminal, while `entered` lasts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ascii = console.options.ascii_only
        self._system = _SYSTEMS.get(console.color_system or "", ColorSystem.STANDARD)
        coloured = console.color_system is not None and not console.no_color
        self._styles = STYLES if coloured else WITHOUT_COLOUR
        self._shown: list[str] = []
        self._size = (0, 0)

    @property
    def ascii_only(self) -> bool:
        return self._ascii

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Go to the second screen and hide the cursor, and in the end back. Raises OSError."""
        try:
            self._console.set_alt_screen(True)
            self._console.show_cursor(False)
            yield
        finally:
            self._console.show_cursor(True)
            self._console.set_alt_screen(False)

    def resized(self) -> bool:
        """Whether the terminal has another size than when it was last asked."""
        before, self._size = self._size, self._console.size
        return before != self._size

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines that may be written to: the last column would move the cursor on."""
        return self._size[0] - 1, self._size[1]

    def paint(self, rows: Sequence[Row], everything: bool = False) -> None:
        """Show these rows; `everything`: also those that stand there already. Raises OSError."""
        lines = [self._rendered(row) for row in rows]
        if everything:
            self._shown = []
        out = [
            f"\x1b[{number};1H{line}\x1b[K"
            for number, line in enumerate(lines, 1)
            if number > len(self._shown) or self._shown[number - 1] != line
        ]
        if len(lines) < len(self._shown) or everything:
            out.append(f"\x1b[{len(lines) + 1};1H\x1b[J" if len(lines) < self._size[1] else "")
        self._shown = lines
        if out:
            self._console.file.write("".join(out))
            self._console.file.flush()

    def ring(self) -> None:
        """Ring the terminal's bell."""
        self._console.control(Control.bell())

    def _rendered(self, row: Row) -> str:
        made = []
        for text, name in row:
            style = self._styles.get(name)
            shown = text.translate(_ASCII) if self._ascii else text
            made.append(style.render(shown, color_system=self._system) if style else shown)
        return "".join(made)
