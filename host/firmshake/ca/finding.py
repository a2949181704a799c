"""What a check of a key, a certificate or a chain found, with what to do about it. Does no I/O.

`serverview.finding` is the same for a server that was looked at from outside, whose levels speak of
boards' connections and are a contract of their own in `doctor --json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from firmshake.serverview import finding as outside

WRONG = "wrong"  # it does not work, or it is no secret any more
WARNING = "warning"  # it fails some day, elsewhere, or against a better attacker
NOTE = "note"  # good to know

SEVERITIES = (WRONG, WARNING, NOTE)

_OF_LEVEL = {outside.ERROR: WRONG, outside.WARNING: WARNING, outside.NOTE: NOTE}


@dataclass(frozen=True)
class Finding:
    """`cause` is a word for programs: one of causes.txt where it has one that fits.

    `what` is a sentence, `fix` says what to do and may be empty.
    """

    severity: str
    cause: str
    what: str
    fix: str = ""


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings without repetitions, what is wrong before warnings before notes."""
    return tuple(
        sorted(dict.fromkeys(findings), key=lambda found: SEVERITIES.index(found.severity))
    )


def taken_over(findings: Iterable[outside.Finding]) -> list[Finding]:
    """Findings of the view of a server, as ours."""
    return [Finding(_OF_LEVEL[one.level], one.code, one.text, one.fix) for one in findings]
