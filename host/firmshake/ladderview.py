"""How a climb of the ladder is shown to people: one line a stage, failures with why and fix.

Does no I/O: it makes things that a rich Console prints. The marks become plain ASCII by themselves
where the console's encoding cannot show them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from firmshake.event import Event
from firmshake.verdict import Verdict, remedy
from firmshake.wording import in_order, printable, value, word
from firmshake_agent import causes

# state: mark, style; a state that this version does not know is shown like info
MARKS = {
    "start": ("·", "dim"),
    "ok": ("✓", "green"),
    "warn": ("!", "yellow"),
    "fail": ("✗", "bold red"),
    "info": (" ", "dim"),
}
_ASCII = str.maketrans({"·": ".", "✓": "+", "✗": "x", "…": "~"})

INDENT = 4  # of what belongs to the line above it
_SAID = INDENT + 5  # column of why and fix
_EVIDENCE = INDENT + 19  # column of the evidence's values

# What a stage's line shows, in this order: each part whose keys are all there.
DETAIL = {
    "identity": ("{device}", "certificate until {not_after:.10}"),
    "wifi": ("{ssid}", "{addr}", "network {network}"),
    "clock": ("{now}", "from {clock}"),
    "dns": ("{addr}",),
    "tcp": ("{addr} port {port}",),
    "tls": ("{tls}", "{cipher}"),
    "websocket": ("{path}",),
    "mqtt": ("{client_id}",),
    "subscribe": ("{topic}",),
}
_KEY = re.compile(r"\{(\w+)")

# Evidence that tells something for a few causes only, whose why then says it; --json has it all
CONTEXT = frozenset(
    [
        "device",
        "host",
        "addr",
        "port",
        "errno",
        "servers",
        "wanted",
        "presented",
        "subject",
        "issuer",
        "trusts",
        "not_before",
        "not_after",
        "now",
        "clock",
        "bytes_in",
        "bytes_out",
        "accepts",
        "sha256",
        "trusts_ski",
        "free",
        "largest",
    ]
)
_SHORT = 3  # so many fields of a stage that has none of these, or is not known


@dataclass(frozen=True)
class Line:
    """A text on one line, cut off at the console's width, its marks as the console shows them."""

    text: Text
    end: str = "\n"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text.copy()
        text.end = self.end
        text.truncate(options.max_width, overflow="ellipsis")
        if options.ascii_only:
            text.plain = text.plain.translate(_ASCII)
        yield text


@dataclass(frozen=True)
class Hanging:
    """A label, and beside it a text that is wrapped into its own column, without padding."""

    label: Text
    text: Text
    column: int
    indent: int = INDENT

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - self.column, 8)
        label = Text(" " * self.indent) + self.label
        for line in self.text.wrap(console, width):
            line.rstrip()
            label.pad_right(max(self.column - label.cell_len, 1))
            yield label + line
            label = Text("")


def show(event: Event) -> RenderableType:
    """The event's line, and below it what there is to say of a failure or a warning."""
    if event.state in ("fail", "warn"):
        return Group(Line(stage_line(event)), failure(event))
    return Line(stage_line(event))


def stage_line(event: Event) -> Text:
    """Mark, stage, milliseconds and a short detail, on one line."""
    if event.stage == "boot":
        return _boot_line(event)
    mark, style = MARKS.get(event.state, MARKS["info"])
    took = "" if event.took_ms is None else f"{event.took_ms} ms"
    line = Text(no_wrap=True, overflow="ellipsis")
    if event.state == "start":
        return line.append(f"{mark} {event.stage}", style)
    line.append(f"{mark} {event.stage:<9}", style)
    line.append(f" {took:>9}")
    detail = event.verdict if event.state == "fail" else _detail(event)
    if detail:
        line.append("  ")
        line.append(printable(detail), style if event.state in ("fail", "warn") else "")
    return line


def failure(event: Event) -> RenderableType:
    """Why, fix and evidence of a failure or a warning, wrapped and indented."""
    why, fix = remedy(event)
    parts: list[RenderableType] = [
        Hanging(Text("why", "bold"), Text(printable(why)), _SAID),
        Hanging(Text("fix", "bold"), Text(printable(fix)), _SAID),
    ]
    if event.state == "fail":
        parts.append(evidence(notable(event, f"{why} {fix}")))
    return Group(*parts)


def notable(event: Event, said: str) -> dict[str, str]:
    """The failure's evidence without what is `said` already, and what says nothing for its cause.

    Of a cause that is not known here, all that is not said.
    """
    left_out: frozenset[str] = frozenset()
    if causes.lookup(event.verdict or "") is not None:
        left_out = CONTEXT
        if event.evidence.get("alert_from") == "board":
            left_out |= {"alert", "alert_from"}  # our own answer to what why says
    return {
        key: text
        for key, text in event.evidence.items()
        if key not in left_out and not re.search(rf"(?<!\w){re.escape(text)}(?!\w)", said)
    }


def evidence(fields: dict[str, str]) -> RenderableType:
    """Evidence as dim lines of `key value`, the keys in people's words."""
    lines = [
        Hanging(Text(word(key), "dim"), Text(value(key, text), "dim"), _EVIDENCE)
        for key, text in in_order(fields)
        if key != "cut"
    ]
    if "cut" in fields:
        lines.append(Hanging(Text(""), Text("(more did not fit on the line)", "dim"), _EVIDENCE))
    return Group(*lines)


def summary(verdict: Verdict) -> RenderableType:
    """One line: ready and in what time, or the verdict; why, where there is no verdict."""
    total = sum(stage.ms or 0 for stage in verdict.stages)
    if verdict.ok:
        return Line(Text.assemble(("✓ ready", "bold green"), f" in {_seconds(total)}"))
    if verdict.verdict is None:
        said = Text.assemble(("✗ no verdict: ", "bold yellow"), printable(verdict.why))
        return Group(Line(said), Hanging(Text("fix", "bold"), Text(printable(verdict.fix)), _SAID))
    return Line(Text.assemble(("✗ ", "bold red"), (printable(verdict.verdict), "bold red")))


def _boot_line(event: Event) -> Text:
    retry = event.fields.get("retry_ms", "")
    if retry.isdigit():
        return Text(f"  trying again in {_seconds(int(retry))}", "dim", no_wrap=True)
    said = ", ".join(f"{word(key)} {value(key, text)}" for key, text in event.fields.items())
    return Text(f"  {said}", "dim", no_wrap=True)


def _detail(event: Event) -> str:
    """What matters of a stage that was passed; of a warning, its cause."""
    if event.state == "warn":
        return printable(event.fields.get("cause", ""))
    if event.verdict == "ready":
        return f"{_seconds(event.ms)} since the start"
    shown = {key: value(key, text) for key, text in event.evidence.items()}
    parts = DETAIL.get(event.stage, ())
    values = [part.format_map(shown) for part in parts if set(_KEY.findall(part)) <= set(shown)]
    if not values:
        values = [f"{word(key)} {text}" for key, text in list(shown.items())[:_SHORT]]
    return ", ".join(values)


def _seconds(ms: int) -> str:
    return f"{ms} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
