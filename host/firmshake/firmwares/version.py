"""Versions of MicroPython and CircuitPython as they write them. Does no I/O.

MicroPython: "v1.26.1", "v1.27.0-preview.12.g0123abcd"; CircuitPython: "9.2.1", "10.0.0-beta.3".
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:-([\w.+-]{1,60}))?")

Order = tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...]]


class Version(NamedTuple):
    """A version; `extra` is what is behind the hyphen, empty for a release."""

    numbers: tuple[int, int, int]
    extra: str = ""

    @property
    def is_release(self) -> bool:
        """Whether it is none of those in between: preview, alpha, beta, candidate."""
        return not self.extra

    @property
    def order(self) -> Order:
        """What to sort by: a release is newer than its previews (semver.org, 11)."""
        parts = tuple(
            (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
            for part in re.split(r"[.-]", self.extra)
        )
        return self.numbers, self.is_release, parts

    def __str__(self) -> str:
        text = ".".join(map(str, self.numbers))
        return f"{text}-{self.extra}" if self.extra else text


def parse(text: str) -> Version | None:
    """Return the version that the text is, with or without a "v" before it; None if it is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    return Version((int(found[1]), int(found[2]), int(found[3] or 0)), found[4] or "")


def same(one: str, other: str) -> bool:
    """Return whether two texts are one version: "v1.26.0" and "1.26" are."""
    version = parse(one)
    return version is not None and version == parse(other)
