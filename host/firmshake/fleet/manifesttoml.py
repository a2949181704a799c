"""A manifest as TOML 1.0: a table [[device]] for each device, and before them perhaps [defaults].

tomllib reads a whole document or says its first error, and never where a value stands. So the
document is taken apart here into its statements, a header or a key with its value each, and tomllib
reads each by itself: that gives every error, and every line. Does no I/O.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from firmshake.errors import Error
from firmshake.fleet import columns, settings
from firmshake.fleet.planning import Planning
from firmshake.fleet.problem import shown

# of no device, as it is of one board or of one row
_NO_DEFAULT = ("unique_id", "count")
_TABLES = tuple(dict.fromkeys(name.partition(".")[0] for name in settings.NAMES))
_FORM = "write a table [[device]] for each device, and before them [defaults], if any"

# a value of ours has a few lines at most, and what is not closed must not swallow all the rest
_MOST_LINES = 64
# of a key's parts, tomllib takes the square of their number; ours have two, and four time servers
# and a path have a few
_MOST_DOTS = 200

_TEXT = r"[^\x00-\x08\x0a-\x1f\x7f]*+"  # TOML 1.0: no controls but the tab
_COMMENT = rf"[ \t]*+(?:#{_TEXT})?"
_BLANK = re.compile(_COMMENT)
_BARE = r"[A-Za-z0-9_-]+"
# the statements that most lines are; what they match, tomllib reads as the same
_SIMPLE = re.compile(
    rf"[ \t]*+({_BARE}(?:\.{_BARE})?)[ \t]*=[ \t]*"
    r'(?:"([^"\\\x00-\x08\x0a-\x1f\x7f]*)"|(0|[1-9][0-9]{0,8}))' + _COMMENT
)
_KEY = rf"""(?:{_BARE}|"(?:\\.|[^"\\])*+"|'[^']*+')"""
_KEYS = re.compile(rf"[ \t]*{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*+[ \t]*(?==)")
_ONE_KEY = re.compile(_KEY)
_TOKEN = re.compile(r""""{3}|'{3}|"(?:\\.|[^"\\])*+"|'[^']*+'|[][{}#"']""")
_END = {
    '"""': re.compile(r'(?:\\.|[^"\\]|"(?!""))*+"{3,5}'),
    "'''": re.compile(r"(?:[^']|'(?!''))*+'{3,5}"),
}
_QUOTES, _HASH = ('"', "'"), "#"
# what no line in an array begins with: there, the array was not closed
_AFRESH = re.compile(rf"[ \t]*(?:\[\[?[ \t]*(?:device|defaults)\b|{_BARE}(?:\.{_BARE})*[ \t]*=)")
_WHERE = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")

_Lines = Iterable[tuple[int, str]]


def parse(lines: _Lines, plan: Planning) -> None:
    """Plan the tables in these lines, which have numbers; what is wrong is told to `plan`."""
    tables, left = _Tables(plan), _Left(lines)
    for number, text in left:
        if _BLANK.fullmatch(text):
            continue
        simple = _SIMPLE.fullmatch(text)
        try:
            if simple:
                key, said, whole = simple.groups()
                tables.put(number, key.split("."), int(whole) if said is None else said)
            elif text.lstrip(" \t").startswith("["):
                tables.open(number, text)
            else:
                statement = _statement(text, left)
                tables.put(number, *_assignment(statement))
        except _NoToml as error:
            plan.told.add(number + error.line, error.message, error.hint)
            tables.torn(number)
        except Error as error:
            plan.told.note(number, error)
    tables.close()


class _NoToml(Error):
    """What tomllib has against a statement, so many lines below its first one."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(f"this is no TOML: {message}", hint="https://toml.io shows how")
        self.line = line


class _Left:
    """The lines that are still to be read; some can be put back."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = iter(lines)
        self._back: deque[tuple[int, str]] = deque()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        return self._back.popleft() if self._back else next(self._lines)

    def put_back(self, lines: Sequence[tuple[int, str]]) -> None:
        self._back.extendleft(reversed(lines))


def _statement(text: str, left: _Left) -> str:
    """The whole statement that begins with this line: a value may go on over further ones."""
    quote, depth = _scan(text, "", 0)
    more: list[tuple[int, str]] = []
    while (quote or depth > 0) and len(more) < _MOST_LINES:
        line = next(left, None)
        if line is None:
            break
        if not quote and _AFRESH.match(line[1]):
            left.put_back([line])
            break
        more.append(line)
        quote, depth = _scan(line[1], quote, depth)
    if quote:
        left.put_back(more)
        return text
    return "\n".join((text, *(line for _, line in more)))


def _scan(text: str, quote: str, depth: int) -> tuple[str, int]:
    """The quotes that are open at the end of a line, "" for none, and how many brackets are."""
    at = 0
    while True:
        found = _END[quote].match(text, at) if quote else _TOKEN.search(text, at)
        if not found:
            return quote, depth
        at, mark = found.end(), found[0]
        if quote:
            quote = ""
        elif mark in _END:
            quote = mark
        elif mark in _QUOTES:
            return "", 0  # a string that is not closed ends with its line
        elif mark == _HASH:
            return "", depth
        elif mark in "[]{}":
            depth += 1 if mark in "[{" else -1


def _read(statement: str) -> dict[str, object]:
    """What tomllib reads in a statement."""
    if statement.count(".") > _MOST_DOTS:
        raise _NoToml("too many dots")
    try:
        return tomllib.loads(statement)
    except RecursionError:
        raise _NoToml("nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        where = _WHERE.search(said)
        line = int(where[1]) - 1 if where and where[1] else 0
        column = f", at column {where[2]}" if where and where[1] else ""
        said = _WHERE.sub("", said)
        raise _NoToml(f"{said[:1].lower()}{said[1:]}{column}", line) from None
    except ValueError:  # thousands of digits, or a day that there is not
        raise _NoToml("no such number or date") from None


@functools.lru_cache(maxsize=16)
def _heading(text: str) -> tuple[tuple[str, ...], bool]:
    """The names in a header, and whether it begins another table of an array."""
    names: tuple[str, ...] = ()
    inner: object = _read(text)
    while isinstance(inner, dict) and inner:
        ((name, inner),) = inner.items()
        names += (name,)
    return names, isinstance(inner, list)


def _assignment(statement: str) -> tuple[Sequence[str], object]:
    """The parts of a key, and the value."""
    keys = _KEYS.match(statement)
    inner: object = _read(statement)
    if not keys:
        raise _NoToml("expected a key and a value")
    parts: list[str] = []
    for _ in _ONE_KEY.finditer(keys[0]):
        assert isinstance(inner, dict)
        ((name, inner),) = inner.items()
        parts.append(name)
    return parts, inner


class _Tables:
    """The table that is being read, of a device or of what they have by default."""

    def __init__(self, plan: Planning) -> None:
        self._plan = plan
        self._usual: dict[str, object] = {}
        self._usual_lines: dict[str, int] = {}
        self._devices = 0
        self._begin("", 0)

    def _begin(self, what: str, line: int) -> None:
        self._what, self._line = what, line
        self._below = ""  # the table in it whose keys follow
        self._values: dict[str, object] = {}
        self._lines: dict[str, int] = {}
        self._inner: dict[str, bool] = {}  # tables in it: whether more may be said in them

    def open(self, line: int, text: str) -> None:
        """A header."""
        try:
            names, array = _heading(text)
        except _NoToml:
            self._skip(line)
            raise
        if names == ("device",) and array:
            self.close()
            self._begin("device", line)
            self._devices += 1
        elif names == ("defaults",) and not array:
            self._open_defaults(line)
        elif len(names) == 2 and names[0] in ("device", "defaults") and not array:
            self._open_inner(line, *names)
        else:
            self._skip(line)
            what = shown(".".join(names))
            raise Error(f"the table {what} is none of a manifest", hint=_FORM)

    def _skip(self, line: int) -> None:
        """What follows belongs to a table that is wrong: it is not looked at."""
        self.close()
        self._begin("skipped", line)

    def _open_defaults(self, line: int) -> None:
        wrong = self._devices or self._what == "defaults" or self._usual_lines
        if wrong:
            self._skip(line)
            raise Error("[defaults] stands once, before the first [[device]]", hint=_FORM)
        self.close()
        self._begin("defaults", line)

    def _open_inner(self, line: int, what: str, name: str) -> None:
        if what != self._what:
            if what == "device" or self._devices or self._usual_lines:
                self._skip(line)
                raise Error(f"[{what}.{name}] does not follow its table", hint=_FORM)
            self.close()
            self._begin(what, line)
        self._below = name
        if name not in _TABLES:
            self._plan.told.note(line, columns.unknown(name, self._plan.guesses, "table"))
        elif name in self._inner:
            raise Error(f"the table {name} is there twice", hint="put its keys into one")
        self._inner[name] = False

    def put(self, line: int, parts: Sequence[str], value: object) -> None:
        """A key with its value."""
        if self._what == "skipped":
            return
        if not self._what:
            raise Error("a key stands before any table", hint=_FORM)
        name = ".".join(parts)
        if self._below:
            if self._below in _TABLES:
                self._set(line, f"{self._below}.{name}", value)
            return
        if len(parts) > 1 and not self._inner.setdefault(parts[0], True):
            raise Error(f"the table {shown(parts[0])} is there twice", hint="put its keys into one")
        if not isinstance(value, dict) or name not in _TABLES:
            self._set(line, name, value)
            return
        if name in self._inner:
            raise Error(f"the table {name} is there twice", hint="put its keys into one")
        self._inner[name] = False
        for key, inner in value.items():
            self._set(line, f"{name}.{key}", inner)

    def _set(self, line: int, name: str, value: object) -> None:
        told = self._plan.told
        if name not in columns.NAMES:
            told.note(line, columns.unknown(name, self._plan.guesses))
        elif name in self._lines:
            told.add(line, f"{name} is on line {self._lines[name]} already", "remove one of them")
        elif self._what == "defaults" and name in _NO_DEFAULT:
            told.add(line, f"{name} is nothing that all devices have", "write it per device")
        else:
            self._values[name], self._lines[name] = value, line

    def torn(self, line: int) -> None:
        """What this line says can't be read: it may have been the id."""
        self._lines.setdefault("id", line)

    def close(self) -> None:
        """The table has ended."""
        if self._what == "defaults":
            self._usual, self._usual_lines = self._values, self._lines
        elif self._what == "device":
            values, lines = self._values, self._lines
            if self._usual:
                values = {**self._usual, **values}
                lines = {**self._usual_lines, **lines}
            self._plan.add(self._line, values, lines)
