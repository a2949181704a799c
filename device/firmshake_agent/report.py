"""Reports each event over serial the moment that it happens; failures with why and fix."""

from . import causes
from .failure import Failure, verdict
from .line import FIX, WHY, format_line

# What a reader cannot do without stands first: a line that grows too long loses its end.
_FIRST = ("step", "cause", "took")


def _place(field: "tuple[str, object]") -> "tuple[bool, str]":
    return field[0] not in _FIRST, field[0]


class Report:
    """Numbers and times the events; `write(text)` takes each finished line with its line end."""

    def __init__(self, runtime: object, write: object) -> None:
        self._runtime = runtime
        self._write = write
        self._boot = runtime.ticks()
        self._seq = 0
        self._started = self._boot

    def event(self, stage: str, state: str, evidence: "dict[str, object] | None" = None) -> None:
        """One line. Keys in alphabetical order, since a board's dicts have none of their own.

        Those of the verdict come first: what comes last may not fit on the line.
        """
        fields = sorted((evidence or {}).items(), key=_place)
        ms = self._runtime.since(self._boot)
        self._write(format_line(self._seq, ms, stage, state, fields) + "\n")
        self._seq += 1

    def start(self, stage: str) -> None:
        """A stage begins."""
        self._started = self._runtime.ticks()
        self.event(stage, "start")

    def ok(self, stage: str, evidence: "dict[str, object] | None" = None) -> None:
        """The stage that began last has passed."""
        fields = {"took": self._runtime.since(self._started)}
        fields.update(evidence or {})
        self.event(stage, "ok", fields)

    def warn(self, stage: str, cause: str, evidence: "dict[str, object]") -> None:
        """Something is wrong that does not stop the climb."""
        fields = {"cause": cause}
        fields.update(evidence)
        self.event(stage, "warn", fields)
        self._explain(verdict(stage, "", cause), evidence)

    def fail(self, failure: Failure) -> None:
        """The climb ends here: the verdict's line, then why and fix for people."""
        fields = {"cause": failure.cause, "took": self._runtime.since(self._started)}
        if failure.step:
            fields["step"] = failure.step
        fields.update(failure.evidence)
        self.event(failure.stage, "fail", fields)
        self._explain(verdict(failure.stage, failure.step, failure.cause), failure.evidence)

    def _explain(self, name: str, evidence: "dict[str, object]") -> None:
        try:
            found = causes.lookup(name)
        except OSError:  # no causes.txt: the event says it all to a program
            return
        if found:
            self._write(WHY + causes.fill(found[0], evidence) + "\n")
            self._write(FIX + causes.fill(found[1], evidence) + "\n")
