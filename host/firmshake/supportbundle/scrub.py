"""Takes secrets out of texts: those that are known, in every form, and what looks like one.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from firmshake.supportbundle import forms, patterns
from firmshake.supportbundle.textview import Span, TextView

REMOVED = "[removed]"
# characters between two finds that belong to neither and yet to the secret: at the edges of base64
_EDGE = 4
# a text in which more than so many are wrapped or escaped within each other is none of ours
_DEEPEST = 3


@dataclass(frozen=True)
class Scrubbed:
    """A text without its secrets, and in how many places there was one."""

    text: str
    removed: int


class Scrubber:
    """Knows `secrets`, words such as passwords, and `material`, the private bytes of keys."""

    def __init__(self, secrets: Iterable[str], material: Iterable[bytes] = ()) -> None:
        words = {secret for secret in secrets if len(secret) >= forms.LEAST}
        raw = [word.encode("utf-8", "surrogateescape") for word in words]
        raw += [piece for one in material for piece in forms.pieces(one)]
        encoded = {form for secret in raw for form in forms.base64_forms(secret)}
        words = {spelling for word in words for spelling in forms.spellings(word)}
        self._words = sorted(words | encoded)
        # without what is left out of a squashed text
        squashed = {TextView(word).squashed().text for word in words}
        self._squashed = sorted({word for word in squashed if len(word) >= forms.LEAST} | encoded)
        self._hex = sorted({forms.hex_form(secret) for secret in raw})

    def scrub(self, text: str) -> Scrubbed:
        """Return the text without secrets."""
        merged = _merged(self._found(text))
        parts, done = [], 0
        for start, end in merged:
            parts += [text[done:start], REMOVED]
            done = end
        parts.append(text[done:])
        return Scrubbed("".join(parts), len(merged))

    def _found(self, text: str) -> Iterator[Span]:
        view = TextView(text)
        for read in _readings(view):
            for start, end in patterns.found(read.text):
                if start < end:
                    yield read.origin(start, end)
            yield from _places(read, self._words)
        for read in (view, view.backslashes_undone(), view.percent_undone()):
            squashed = read.squashed()
            yield from patterns.keys_in(squashed)
            yield from _places(squashed, self._squashed)
            yield from _places(squashed.lower(), self._hex)


def _readings(view: TextView) -> Iterator[TextView]:
    """The text, and how it reads with the one or the other kind of escapes undone."""
    yield view
    yield view.entities_undone()
    percent = backslash = view
    for _ in range(_DEEPEST):
        before = percent.text, backslash.text
        percent, backslash = percent.percent_undone(), backslash.backslashes_undone()
        if percent.text != before[0]:
            yield percent
        if backslash.text != before[1]:
            yield backslash
            yield backslash.percent_undone()


def _places(view: TextView, words: Iterable[str]) -> Iterator[Span]:
    """Where the words stand, in terms of the first text."""
    for word in words:
        start = view.text.find(word)
        while start >= 0:
            yield view.origin(start, start + len(word))
            start = view.text.find(word, start + 1)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, with those made one that overlap or all but touch."""
    merged: list[Span] = []
    for start, end in sorted(set(spans)):
        if merged and start <= merged[-1][1] + _EDGE:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
