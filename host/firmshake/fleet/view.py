"""What those who show a run are told. The ways to show it are in firmshake.cli.fleet."""

from __future__ import annotations

from typing import Protocol

from firmshake.fleet.row import BoardRow, Totals


class View(Protocol):
    """Told of every change, from one thread."""

    def board(self, row: BoardRow) -> None:
        """A board's row is this now; a row with a new key is a new board."""

    def removed(self, key: str) -> None:
        """The board was unplugged after it was done: its row may go."""

    def totals(self, totals: Totals) -> None:
        """The run stands so now."""

    def note(self, text: str) -> None:
        """Something to be said beside the rows, such as that it waits for more boards."""
