"""One line below what is printed, taken away before more is printed: what is printed scrolls."""

from __future__ import annotations

import os

from rich.console import Console
from rich.text import Text

_CLEAR = "\r\x1b[K"


class StatusLine:
    """The last line of a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = ""

    def show(self, text: str) -> None:
        """Show this below what was printed."""
        if text == self._shown:
            return
        self.clear()
        # a line that fills the terminal's width would make the next one begin
        line = Text(text, "reverse", no_wrap=True)
        line.truncate(max(self._console.width - 1, 1), overflow="crop")
        self._console.print(line, end="", soft_wrap=True)
        self._console.file.flush()
        self._shown = text

    def clear(self) -> None:
        """Take it away."""
        if self._shown:
            self._console.file.write(_CLEAR)
            self._console.file.flush()
            self._shown = ""

    def leave(self) -> None:
        """Take it away while anything may be printed: this is for signal handlers."""
        if self._shown:
            os.write(self._console.file.fileno(), _CLEAR.encode())
            self._shown = ""

    def forget(self) -> None:
        """Draw it anew at the next chance: the terminal was in other hands."""
        self._shown = ""
