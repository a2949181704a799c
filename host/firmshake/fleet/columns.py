"""What a manifest may say of a device: the names, and the check of each value. Does no I/O.

A check returns the value as it is used from then on, or raises Error; none shows a setting's value.
"""

from __future__ import annotations

from firmshake import fleetfile
from firmshake.boards import table, uniqueid
from firmshake.ca import profiles
from firmshake.ca.profiles import Profiles
from firmshake.errors import Error
from firmshake.fleet import settings
from firmshake.fleet.problem import shown

COLUMNS = ("id", "unique_id", "board", "profile", "count")
NAMES = (*COLUMNS, *settings.NAMES)
ANY = "any"

# a manifest with thousands of unknown names gets no guess for each: they take their time
_GUESSES = 1000
_BOARDS = tuple(dict.fromkeys(word for one in table.BOARDS for word in (one.name, one.chip)))

# of their unique ids: a MAC address, or a Pico's number
_DIGITS = {one.name: 16 if one.family == "rp2" else 12 for one in table.BOARDS}


class Guesses:
    """Hints for names that are not known: the nearest one, as long as there are not too many."""

    def __init__(self) -> None:
        self._left = _GUESSES

    def hint(self, name: str, known: tuple[str, ...]) -> str:
        """Return what may have been meant, or all that there are."""
        self._left -= 1
        if self._left < 0 or len(name) > 2 * max(map(len, known)):
            return f"known are: {', '.join(known)}"
        return fleetfile.meant(name, known)


def unknown(name: str, guesses: Guesses, what: str = "key") -> Error:
    """What to say of a name that is none of NAMES."""
    if name in fleetfile.KEYS:
        return Error(f"{name} can't differ from device to device", hint="set it in fleet.toml")
    return Error(f"unknown {what} {shown(name)}", hint=guesses.hint(name, NAMES))


def text_of(name: str, value: object) -> str:
    """Return a value that has to be text."""
    if not isinstance(value, str):
        raise Error(f"{name} must be text", hint="put it in quotes")
    return value


def board(value: object, guesses: Guesses) -> str | None:
    """Return the board's name in the table of boards, None for any."""
    text = text_of("board", value)
    if text.lower() in (ANY, ""):
        return None
    try:
        return table.by_name(text).name
    except Error:
        hint = guesses.hint(text, _BOARDS)
        raise Error(f"no board is called {shown(text)}", hint=hint) from None


def profile(value: object, known: Profiles, guesses: Guesses) -> str | None:
    """Return the name of a certificate profile, None for the usual one."""
    text = text_of("profile", value)
    if text in ("", profiles.USUAL):
        return None
    if text not in known.devices:
        hint = guesses.hint(text, (profiles.USUAL, *known.devices))
        raise Error(f"no device profile is called {shown(text)}", hint=hint)
    return text


def unique_id(value: object) -> str | None:
    """Return a board's unique id as `firmshake.boards.uniqueid` spells it, None for any."""
    text = text_of("unique_id", value)
    if text.lower() in (ANY, ""):
        return None
    found = uniqueid.spelled(text)
    if found is None:
        raise Error(
            f"{shown(text)} is no board's unique id",
            hint="it has 12 hexadecimal digits (ESP32) or 16 (Pico), as firmshake boards shows it;"
            " in a spreadsheet, its column has to be of the kind text",
        )
    return found


def check_board(found: str, name: str) -> None:
    """Raise Error where a board with that unique id can't be of that kind."""
    wanted = _DIGITS[name]
    if len(found.replace(":", "")) != wanted:
        raise Error(
            f"{found} is no unique id of the board {name}",
            hint=f"there it has {wanted} hexadecimal digits",
        )


def count(value: object, most: int) -> int:
    """Return how many devices a row stands for."""
    if type(value) is not int or not 1 <= value <= most:
        raise Error(f"count must be a whole number from 1 to {most:,}")
    return value
