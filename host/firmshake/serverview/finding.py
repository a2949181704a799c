"""Something found that people should know, with what to do about it. Does no I/O."""

from __future__ import annotations

from dataclasses import dataclass

ERROR = "error"  # a board will refuse it
WARNING = "warning"  # it will fail some day, or with other software
NOTE = "note"  # it costs something

LEVELS = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """`code` is a word for programs, a cause of the vocabulary where one fits."""

    code: str
    level: str
    text: str
    fix: str = ""


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """The findings without repetitions, errors before warnings before notes."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda found: LEVELS.index(found.level)))
