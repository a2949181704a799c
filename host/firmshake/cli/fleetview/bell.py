"""Rings when a board has failed."""

from __future__ import annotations

from typing import TextIO

from firmshake.fleet.row import BoardRow


class Bell:
    """Rings on `terminal`, once for each board that fails; None: never.

    It is no part of a log: where a view's own output is a file, the bell goes to the terminal.
    """

    def __init__(self, terminal: TextIO | None) -> None:
        self._terminal = terminal
        self._failed: set[str] = set()

    def see(self, row: BoardRow) -> None:
        """Ring where the row's board has failed just now."""
        if row.state != "failed":
            self._failed.discard(row.key)
        elif row.key not in self._failed:
            self._failed.add(row.key)
            if self._terminal is not None:
                self._terminal.write("\a")
                self._terminal.flush()

    def forget(self, key: str) -> None:
        """The board was unplugged."""
        self._failed.discard(key)
