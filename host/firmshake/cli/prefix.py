"""What stands before a line of one board among several: its name, aligned, in a colour of its own.

Does no I/O.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from firmshake.console import Lost
from firmshake.feed import Board, Said
from firmshake.saving import short_name
from firmshake.wording import printable

# Numbers of the 256 colours that terminals have: blue, magenta, teal, violet, steel, pink, navy,
# lilac. Each can be read on black and on white; none is near red, yellow or green, which mean fail,
# warn and ok.
PALETTE = (33, 164, 30, 99, 67, 162, 26, 134)

# a longer name loses its beginning: ids of a fleet differ at the end
LONGEST = 28


class Prefixes:
    """Names boards by their device id, and until they have said one by the short name of the port.

    One that was unplugged and is back, and has not said again who it is, has a "?" behind its id:
    it may be another. With `numbered`, the board's number stands before it.
    """

    def __init__(self, numbered: bool = False) -> None:
        self._numbered = numbered
        self._width = 0
        self._shorts: dict[int, tuple[str, str]] = {}  # number: port, its short name
        self._devices: dict[int, str] = {}  # number: device id of a board that is there
        self._before: dict[int, str] = {}  # number: the last id that it had

    def expect(self, board: Board) -> None:
        """Make room for the board's name."""
        self._widen(self._number(board) + self._short(board))

    def of(self, said: Said) -> Text:
        """What stands before the line, with the bar behind it."""
        name = self._number(said.board) + self._name(said)
        self._widen(name)
        style = f"bold color({PALETTE[(said.board.number - 1) % len(PALETTE)]})"
        gap = " " * (self._width - cell_len(name))
        return Text.assemble((name, style), gap, (" | ", style))

    def _name(self, said: Said) -> str:
        short = self._short(said.board)
        number, device = said.board.number, said.device
        self._devices.pop(number, None)
        if device is None:
            return _cut(f"{self._before[number]}?") if number in self._before else short
        self._before[number] = device
        if not isinstance(said.item, Lost):
            self._devices[number] = device
        doubled = any(device == name for other, name in self._devices.items() if other != number)
        return _cut(f"{device}@{short}" if doubled else device)

    def _short(self, board: Board) -> str:
        """The port's short name; the whole one where another port has the same."""
        port, name = self._shorts.get(board.number, ("", ""))
        if port != board.port:
            name = _cut(short_name(board.port))
            if any(one == name and other != board.port for other, one in self._shorts.values()):
                name = board.port
            self._shorts[board.number] = board.port, name
        return name

    def _number(self, board: Board) -> str:
        return f"{board.number} " if self._numbered else ""

    def _widen(self, name: str) -> None:
        self._width = max(self._width, cell_len(name))


def _cut(name: str) -> str:
    name = printable(name)
    return name if len(name) <= LONGEST else f"~{name[1 - LONGEST :]}"
