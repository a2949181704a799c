"""What is wrong with a manifest: every line of it, told once. Does no I/O."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from firmshake.errors import Error

# of what stands in a manifest, as much as is shown
_SHOWN = 64


class Problem(NamedTuple):
    """What is wrong at `line`, and what to do; `also` are the further lines with the same."""

    line: int
    message: str
    hint: str
    also: Sequence[int] = ()


class BadManifest(Error):
    """A manifest with `problems`, in the order of their lines. None of it may be used."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        first = problems[0]
        many = f"{len(problems):,} problems, the first" if len(problems) > 1 else "a problem"
        super().__init__(f"{name} has {many} at line {first.line}: {first.message}", first.hint)
        self.name = name
        self.problems = problems


class Problems:
    """Gathers problems; the same one of several lines becomes one of them."""

    def __init__(self) -> None:
        self.count = 0  # of those that were told, the repeated ones too
        self._found: dict[str, tuple[int, str, str, array[int] | None]] = {}

    def add(self, line: int, message: str, hint: str = "", *, kind: str = "") -> None:
        """Note a problem. Of one `kind`, by default the message, the first one's words stay."""
        self.count += 1
        key = kind or message
        if key not in self._found:
            self._found[key] = (line, message, hint, None)
            return
        first, said, advice, also = self._found[key]
        if also is None and line != first:
            self._found[key] = (first, said, advice, array("q", [line]))
        elif also is not None and line not in (first, also[-1]):
            also.append(line)

    def note(self, line: int, error: Error) -> None:
        """Note what an error says."""
        self.add(line, error.message, error.hint)

    def in_order(self) -> list[Problem]:
        """Return what was gathered, by line."""
        made = [_problem(*found) for found in self._found.values()]
        made.sort(key=lambda one: one.line)
        return made


def _problem(line: int, message: str, hint: str, also: array[int] | None) -> Problem:
    """With its lines in order: those of what devices have by default come again and again."""
    if also is None:
        return Problem(line, message, hint)
    first, *others = sorted({line, *also})
    return Problem(first, message, hint, array("q", others))


def shown(text: str) -> str:
    """Return what stands in a manifest as it is named in a message: quoted, and not too long."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
