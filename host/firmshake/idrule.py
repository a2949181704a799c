"""Device ids, and the rules that make them: `pump-{number:04}`, `{prefix}-{unique_id}`.

Manifests, runs without one and the registry have the same rules. Does no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from firmshake import deviceid
from firmshake.errors import Error
from firmshake.fleet.problem import shown

FIELDS = ("number", "unique_id", "prefix")

_FIELD = re.compile(r"\{([^{}]*)\}")
# a format that pads with blanks, or with a sign, makes no ids; nine digits are a thousand million
_WIDTH = re.compile(r"0[1-9]")
# The names of devices of Windows (Microsoft, "Naming Files, Paths, and Namespaces"): no file can be
# called so there, whatever follows a dot; and an id names files: keys, certificates, labels
_RESERVED = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)))
)
# the digits of the unique ids that there are, at most: a Pico's
_DIGITS = "0" * 16


@dataclass(frozen=True)
class Rule:
    """A device id, or a rule for it with the fields `{number}` and `{unique_id}`.

    `text` is how it is written, with the fleet's prefix in it.
    """

    text: str
    numbered: bool = False
    by_unique_id: bool = False

    @property
    def fixed(self) -> bool:
        """Whether it is a device id as it stands."""
        return not (self.numbered or self.by_unique_id)

    def filled(self, number: int = 0, unique_id: str | None = None) -> str:
        """Return the device id for a number and a board; without a board, that field stays.

        A unique id stands there as digits alone: a colon can't stand in a device id.
        """
        # `parse` has seen to it that it is a format of Python with these fields and no more
        digits = "{unique_id}" if unique_id is None else re.sub("[:-]", "", unique_id).lower()
        return self.text.format(number=number, unique_id=digits)

    def check(self, most: int) -> None:
        """Raise Error where it can't make device ids with numbers up to `most`."""
        made = self.text if self.fixed else self.filled(most, _DIGITS)
        if not deviceid.is_legal(made):
            self._refuse(made)

    def _refuse(self, made: str) -> None:
        if len(made) > deviceid.LONGEST:
            raise Error(
                f"the id {shown(self.text)} has {len(made):,} characters",
                hint=f"a certificate's common name holds {deviceid.LONGEST} at most",
            )
        what = f"{shown(made)} can't be a device id"
        raise Error(
            what if self.fixed else f"{what}, and {shown(self.text)} makes such",
            hint="use letters, digits, '.', '-' and '_', and begin with a letter or digit",
        )


def parse(text: str, prefix: str = "") -> Rule:
    """Return the id or rule in `text`; raise Error where it is none.

    `prefix` is the fleet's. Whether what a rule makes can be a device id, `Rule.check` says.
    """
    if "{" not in text and "}" not in text:
        return Rule(text)
    fields = {_field(text, found[1]) for found in _FIELD.finditer(text)}
    if re.search(r"[{}]", _FIELD.sub("", text)):
        raise Error(f"{shown(text)} has a brace without its other", hint="write {number:04}")
    if "prefix" in fields and not prefix:
        raise Error(
            f"{shown(text)} wants the fleet's prefix, and fleet.toml has none",
            hint="set prefix in fleet.toml, or write the ids without it",
        )
    return Rule(text.replace("{prefix}", prefix), "number" in fields, "unique_id" in fields)


def is_reserved(device_id: str) -> bool:
    """Return whether no file can have this name on Windows."""
    return device_id.partition(".")[0].lower() in _RESERVED or device_id.endswith(".")


def _field(text: str, field: str) -> str:
    """The name of a field of the rule `text`; raises Error where there is no such field."""
    name, colon, width = field.partition(":")
    if name not in FIELDS:
        raise Error(
            f"unknown field {{{shown(field)[1:-1]}}} in {shown(text)}",
            hint="the fields are {number}, {number:04} with a width, {unique_id} and {prefix}",
        )
    if colon and name != "number":
        raise Error(f"{{{name}}} has no width, but in {shown(text)} it does", f"write {{{name}}}")
    if colon and not _WIDTH.fullmatch(width):
        raise Error(
            f"the width {shown(width)} in {shown(text)} is none",
            hint="write {number}, or {number:04} for four digits; 01 to 09 can be",
        )
    return name
