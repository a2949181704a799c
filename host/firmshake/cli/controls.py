"""What the keys of a console with several boards do: search, pause, filters. Does no I/O."""

from __future__ import annotations

from firmshake.climbgate import Only

HELP = (
    "/ search: type, Enter; lines without that text are left out    Esc ends the search",
    "p or space pause and go on    f failures only, or all    1-9 that board only    0 all boards",
    "? these lines    q end",
)
ENTER, ESCAPE, BACKSPACE, CLEAR = "enter", "escape", "backspace", "clear"
_LONGEST = 100  # of a text that is searched for
_FAILURES = Only(("fail",))


class Controls:
    """What was asked for until now. `typing` is a search that is not finished, else None.

    `board` is the number of the only one that is shown, 0 for all.
    """

    def __init__(self, only: Only, search: str = "") -> None:
        self.search = search
        self.typing: str | None = None
        self.is_paused = False
        self.board = 0
        self.is_at_end = False
        self.wants_help = False  # whoever has shown it sets it back
        self._filters = list(dict.fromkeys([only, _FAILURES, Only()]))

    @property
    def only(self) -> Only:
        """The verdicts that are looked for."""
        return self._filters[0]

    def finds(self, text: str) -> bool:
        """Whether a text is one of those that are searched for; upper case is as lower case."""
        return self.search.casefold() in text.casefold()

    def hides(self, board: int) -> bool:
        """Whether the board of this number is not to be seen."""
        return self.board not in (0, board)

    def press(self, key: str, boards: int) -> None:
        """Take one key, a character or one of the names above; so many boards there are."""
        if self.typing is not None:
            self._type(key, self.typing)
        elif key == "/":
            self.typing = ""
        elif key in ("p", " "):
            self.is_paused = not self.is_paused
        elif key == "f":
            self._filters.append(self._filters.pop(0))
        elif key.isascii() and key.isdigit() and int(key) <= boards:
            self.board = int(key)
        elif key == ESCAPE:
            self.search = ""
        elif key == "?":
            self.wants_help = True
        elif key == "q":
            self.is_at_end = True

    def status(self) -> list[str]:
        """What was asked for, in words; nothing where all is shown."""
        if self.typing is not None:
            return [f"search: {self.typing}_", "Enter searches, Esc doesn't"]
        return [
            *(["only " + " ".join(self.only.patterns)] if self.only.patterns else []),
            *([f'only "{self.search}"'] if self.search else []),
            *([f"only board {self.board}"] if self.board else []),
        ]

    def _type(self, key: str, typed: str) -> None:
        if key == ENTER:
            self.search, self.typing = typed, None
        elif key == ESCAPE:
            self.typing = None
        elif key == BACKSPACE:
            self.typing = typed[:-1]
        elif key == CLEAR:
            self.typing = ""
        elif len(key) == 1 and key.isprintable() and len(typed) < _LONGEST:
            self.typing = typed + key
