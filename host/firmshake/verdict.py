"""What one climb of the ladder comes to: ready, or the stage that failed, why, and what to do.

Does no I/O, but for reading the causes' texts, which are installed beside the agent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

from firmshake.event import Event
from firmshake_agent import causes

# The cause of a climb that was never finished. It is no cause of the agent's: the verdict is None.
NO_REPORT = "no_report"


@dataclass(frozen=True)
class Stage:
    """A stage that was begun: `ok` where it was passed, `ms` None where it never ended."""

    name: str
    ok: bool
    ms: int | None


@dataclass(frozen=True)
class Verdict:
    """One climb's outcome; `to_dict` is the object that `--json` prints.

    `verdict` is "ready", "stage/cause" or "tls.step/cause"; None where the board stopped before
    it came to one: then `cause` is "no_report" and `stage` the last that it spoke of, if any.
    """

    ok: bool
    verdict: str | None
    stage: str | None
    step: str | None
    cause: str | None
    why: str
    fix: str
    evidence: dict[str, str] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The verdict in JSON's types, its stages as a list of name, ok, ms."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages]}


def judge(events: Iterable[Event]) -> Verdict:
    """The verdict of the last climb among the events: from its last `identity start` on."""
    climb = last_climb(events)
    stages = _stages(climb)
    ends = [event for event in climb if event.verdict is not None]
    if not ends:
        return _no_report(climb, stages)
    end = ends[-1]
    if end.state == "ok":
        return Verdict(True, "ready", "ready", None, None, "", "", end.evidence, stages)
    why, fix = remedy(end)
    return Verdict(
        ok=False,
        verdict=end.verdict,
        stage=end.stage,
        step=end.fields.get("step") or None,
        cause=end.fields.get("cause") or "unknown",
        why=why,
        fix=fix,
        evidence=end.evidence,
        stages=stages,
    )


def last_climb(events: Iterable[Event]) -> list[Event]:
    """The events of the last climb; all of them where none begins."""
    climb: list[Event] = []
    for event in events:
        if begins_climb(event, climb[-1] if climb else None):
            climb.clear()
        climb.append(event)
    return climb


def begins_climb(event: Event, before: Event | None) -> bool:
    """Whether a new climb begins with `event`, which came after `before`.

    That is each `identity start`, but for the one with which the agent goes back to hold its
    certificate against the time, once the clock stage has told it.
    """
    if (event.stage, event.state) != ("identity", "start"):
        return False
    return before is None or before.stage != "clock" or event.seq != before.seq + 1


def remedy(event: Event) -> tuple[str, str]:
    """(why, fix) of a failure or a warning: the board's own words, else this version's."""
    if event.why and event.fix:
        return event.why, event.fix
    verdict = event.verdict or f"{event.stage}/{event.fields.get('cause', '')}"
    known = causes.lookup(verdict)
    if known is None:
        return (
            event.why or f"The board reports {verdict}, which this version does not know.",
            event.fix or "Update firmshake, or look the cause up in the agent's causes.txt.",
        )
    evidence: dict[str, object] = dict(event.fields)
    why, fix = (causes.fill(text, evidence) for text in known)
    return event.why or why, event.fix or fix


def _stages(climb: list[Event]) -> tuple[Stage, ...]:
    """One entry a stage, in the order in which they were begun."""
    stages: dict[str, Stage] = {}
    began: dict[str, int] = {}
    for event in climb:
        if event.stage == "boot" or event.state == "info":
            continue
        if event.state == "start":
            began[event.stage] = event.ms
            stages[event.stage] = Stage(event.stage, False, None)
            continue
        known = stages.get(event.stage, Stage(event.stage, False, None))
        ms = event.took_ms
        if ms is None:
            ms = max(event.ms - began[event.stage], 0) if event.stage in began else known.ms
        stages[event.stage] = replace(known, ok=event.state in ("ok", "warn"), ms=ms)
    return tuple(stages.values())


def _no_report(climb: list[Event], stages: tuple[Stage, ...]) -> Verdict:
    last = stages[-1] if stages else None
    if last is None:
        why = "The board has not reported any stage."
        fix = "Check that the agent is on the board and starts: watch it with firmshake console."
    elif last.ms is None:
        why = f"The board began the stage {last.name} and has not reported its end."
        fix = "Give it more time; if it stays silent, reset it and watch it with firmshake console."
    else:
        why = f"The board has not reported anything after the stage {last.name}."
        fix = "Give it more time; if it stays silent, reset it and watch it with firmshake console."
    evidence = {"last_ms": str(climb[-1].ms)} if climb else {}
    stage = last.name if last else None
    return Verdict(False, None, stage, None, NO_REPORT, why, fix, evidence, stages)
