"""Makes of a manifest's rows the devices that they stand for, and finds what is wrong with them.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from firmshake import idrule
from firmshake.ca.profiles import Profiles
from firmshake.errors import Error
from firmshake.fleet import columns, settings
from firmshake.fleet.columns import Guesses
from firmshake.fleet.planned import Planned
from firmshake.fleet.problem import Problems, shown
from firmshake.idrule import Rule
from firmshake.project import Project

# a row's values are at its own line, if nothing else is said
HERE: Mapping[str, int] = {}
_NONE: Mapping[str, object] = {}

# what may be in one manifest: with many more, a computer with little memory stands still
MOST = 2_000_000
# so many different settings are remembered, to be shared
_KEPT = 10_000

_Value = TypeVar("_Value")
_Settings = dict[str, object]


class Planning:
    """Takes the rows in order; `planned` is whole where `told` has no problem at the end."""

    def __init__(self, project: Project, known: Profiles, told: Problems, most: int = MOST) -> None:
        self.planned: list[Planned] = []
        self.devices = 0
        self.prefixed = False  # an id has the prefix of the fleet in it
        self.told, self.guesses = told, Guesses()
        self._project, self._profiles, self._most = project, known, most
        self._rules: dict[str, Rule] = {}
        self._boards: dict[str, str | None] = {}
        self._settings: dict[object, _Settings] = {}
        self._numbers: dict[str, int] = {}  # rule: the last number that it gave
        self._safe: dict[str, int] = {}  # rule: with numbers up to this it makes legal ids
        self._ids: dict[str, int] = {}  # device id in lower case: its line
        self._spelled: dict[str, str] = {}  # the same: how it is written, where that differs
        self._unique_ids: dict[str, int] = {}
        self._line, self._values, self._lines = 0, _NONE, HERE

    def add(self, line: int, values: Mapping[str, object], lines: Mapping[str, int] = HERE) -> None:
        """Plan the devices of a row, or tell what is wrong with it.

        `lines` are those of its values, where they are not the row's own; a value that is wrong
        already, and told, has its line alone.
        """
        self._line, self._values, self._lines = line, values, lines
        if "id" not in values and "id" not in lines:
            self.told.add(line, "id is missing", "give each device an id, or a rule for it")
        rule = self._one("id", self._rule)
        unique_id = self._one("unique_id", columns.unique_id)
        board = self._one("board", self._board)
        profile = self._one("profile", self._profile)
        count = self._one("count", self._count) or 1
        own = self._own()
        if unique_id is not None:
            self._check_unique_id(unique_id, board, count)
        if rule is not None:
            row = Planned(rule.text, unique_id, board, profile, own, line)
            self._expand(row, rule, count)

    def _one(self, name: str, check: Callable[[object], _Value]) -> _Value | None:
        """The value of that name; None where it is wrong, and told, or not there."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return check(value)
        except Error as error:
            self.told.note(self._line_of(name), error)
            return None

    def _line_of(self, name: str) -> int:
        return self._lines.get(name, self._line)

    def _rule(self, value: object) -> Rule:
        text = columns.text_of("id", value)
        if "{" not in text and "}" not in text:
            return Rule(text)
        if text not in self._rules:
            self._rules[text] = idrule.parse(text, self._project.prefix)
            self.prefixed = self.prefixed or "{prefix}" in text
        return self._rules[text]

    def _board(self, value: object) -> str | None:
        text = columns.text_of("board", value)
        if text not in self._boards:
            self._boards[text] = columns.board(text, self.guesses)
        return self._boards[text]

    def _profile(self, value: object) -> str | None:
        return columns.profile(value, self._profiles, self.guesses)

    def _count(self, value: object) -> int:
        return columns.count(value, self._most)

    def _check_unique_id(self, unique_id: str, board: str | None, count: int) -> None:
        line = self._line_of("unique_id")
        first = self._unique_ids.setdefault(unique_id, line)
        if first != line:
            hint = "a board gets one identity: remove one of the lines"
            self.told.add(line, f"the board {unique_id} is on line {first} already", hint)
        if board is not None:
            try:
                columns.check_board(unique_id, board)
            except Error as error:
                self.told.note(line, error)
        if count > 1:
            hint = "leave out count, or unique_id"
            at = self._line_of("count")
            self.told.add(at, "count is more than 1, and unique_id names one board", hint)

    def _own(self) -> _Settings:
        """The settings of this device; devices that have the same share them."""
        own = {name: v for name, v in self._values.items() if name not in columns.COLUMNS}
        key = repr(own) if own else ""
        if key in self._settings:
            return self._settings[key]
        before = self.told.count
        for name, value in own.items():
            try:
                settings.check(name, value)
            except Error as error:
                self.told.note(self._line_of(name), error)
        if self.told.count == before:
            try:
                settings.applied(self._project, own)
            except Error as error:
                self.told.note(self._line_of(next(iter(own), "")), error)
        if self.told.count == before and len(self._settings) < _KEPT:
            self._settings[key] = own
        return own

    def _expand(self, row: Planned, rule: Rule, count: int) -> None:
        """Plan each of the devices, and see that no id is there twice."""
        if self._too_many(count, row.line):
            return
        if rule.fixed:
            if count > 1:
                hint = "write a rule for it, such as pump-{number:04}"
                what = "count is more than 1, and the id is the same for all"
                self.told.add(self._line_of("count"), what, hint)
            elif self._is_safe(rule, 0):
                self._take_id(row.id_rule, row, rule)
                self._plan(row)
            return
        first = self._numbers.get(rule.text, 0) + 1
        last = first + count - 1
        if rule.numbered:
            self._numbers[rule.text] = last
        if not self._is_safe(rule, last):
            return
        for number in range(first, last + 1):
            made = rule.filled(number, row.unique_id)
            if row.unique_id is not None or not rule.by_unique_id:
                self._take_id(made, row, rule)
            self._plan(Planned(made, row.unique_id, row.board, row.profile, row.settings, row.line))

    def _plan(self, device: Planned) -> None:
        if not self.told.count:
            self.planned.append(device)

    def _too_many(self, count: int, line: int) -> bool:
        self.devices += count
        if self.devices > self._most:
            message = f"from here on there are more than {self._most:,} devices"
            self.told.add(line, message, "make several manifests of it", kind="most")
        return self.devices > self._most

    def _is_safe(self, rule: Rule, last: int) -> bool:
        """Whether what the rule makes with numbers up to `last` can be device ids, all of them."""
        if 0 < last <= self._safe.get(rule.text, 0):
            return True
        most = 10 ** len(str(last)) - 1
        try:
            rule.check(most)
        except Error as error:
            self.told.note(self._line_of("id"), error)
            return False
        if not rule.fixed:
            self._safe[rule.text] = most
        return True

    def _take_id(self, made: str, row: Planned, rule: Rule) -> None:
        """Tell where a file can't have the name of this id, or another device has it."""
        folded = made.lower()
        if idrule.is_reserved(folded):
            hint = "its files could not be kept on Windows: choose another id"
            self.told.add(self._line_of("id"), f"{shown(made)} can't name a file", hint)
        first = self._ids.setdefault(folded, row.line)
        if first != row.line:
            self._tell_twice(made, first, row, rule)
        elif folded != made:
            self._spelled[folded] = made

    def _tell_twice(self, made: str, first: int, row: Planned, rule: Rule) -> None:
        other = self._spelled.get(made.lower(), made.lower())
        by = "" if rule.fixed else f", which {shown(rule.text)} makes,"
        how = "is" if other == made else f"differs only in case from {shown(other)}"
        # what all devices have by default has its line above them all
        line = max(self._line_of("id"), row.line)
        self.told.add(
            line,
            f"the id {shown(made)}{by} {how} on line {first} already",
            "each device has an id of its own, and files and some brokers know no case",
            # one problem for all the ids that two lines make alike
            kind="" if rule.fixed else f"{rule.text} {line} {first}",
        )
