"""What an inspection has at hand: the time, and the passphrases that it was given. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from firmshake.ca.finding import WARNING, WRONG, Finding
from firmshake.inspect.locks import Lock, price
from firmshake.serverview import certview

# asks for the passphrase of what is named; None where there is no way to ask, or no answer
Ask = Callable[[str], bytes | None]

_Opened = TypeVar("_Opened")

MISTYPED = "wrong_passphrase"
LOCKED = "locked"


@dataclass(eq=False)
class Desk:
    """The time, and every passphrase that was given so far: one may open several things."""

    now: datetime
    ask: Ask
    _known: list[bytes] = field(default_factory=list, repr=False)

    def tries(self, what: str) -> Iterator[bytes]:
        """Passphrases for `what`: those that are known, then one that is asked for."""
        yield from tuple(self._known)
        given = self.ask(what)
        if given is not None:
            self._known.append(given)
            yield given


@dataclass(frozen=True)
class Attempt:
    """What came of opening something: `findings` say why not, or how weak the lock is."""

    opened: object
    findings: tuple[Finding, ...]

    @property
    def locked(self) -> bool:
        return self.opened is None


def open_lock(
    desk: Desk, what: str, found: list[Lock], load: Callable[[bytes], _Opened], stronger: str
) -> Attempt:
    """Try `load` with each passphrase until one fits. `load` raises one of certview.ODD if not.

    `stronger` says what to do where the lock is weak.
    """
    weak = _weakness(found, stronger)
    if reason := price(found):
        told = f"It is locked, and no passphrase is tried: {reason}."
        fix = "Nobody makes such a file by accident: get another copy of the key."
        return Attempt(None, (Finding(WARNING, "too_costly", told, fix), *weak))
    tried = False
    for passphrase in desk.tries(what):
        tried = True
        try:
            with certview.quiet():
                return Attempt(load(passphrase), weak)
        except certview.ODD:
            continue
    if tried:
        told = "The passphrase is wrong, or the file is damaged."
        fix = "Run the same command again with the right one; upper and lower case count."
        return Attempt(None, (Finding(WRONG, MISTYPED, told, fix), *weak))
    told = "It is locked with a passphrase, and none was given."
    fix = "Run the same command at a terminal, or give it: --passphrase-fd 3 3< FILE"
    return Attempt(None, (Finding(WARNING, LOCKED, told, fix), *weak))


def _weakness(found: list[Lock], fix: str) -> tuple[Finding, ...]:
    reasons = dict.fromkeys(one.weak for one in found if one.weak)
    return tuple(
        Finding(WARNING, "weak_encryption", f"It is weakly encrypted: {why}.", fix)
        for why in reasons
    )
