"""Prints what comes over a serial line: events explained, other output as it is.

On a terminal, other output has its colours, and all other controls are written out: it comes from
strangers. In a file or a pipe it is left as it came.
"""

from __future__ import annotations

import json
import time

import click
from rich.console import Console, RenderableType

from firmshake.cli.passing import Passing
from firmshake.cli.repeats import Repeats
from firmshake.event import Event, Output
from firmshake.ladderview import Line, show, stage_line
from firmshake.symptoms import Symptoms
from firmshake.verdict import remedy

_PREFIX = 32  # an unfinished line up to here is a prefix, such as a time that a terminal wrote


class Printer:
    """Prints events and output in the order in which they came.

    `failed` says whether the last verdict among them was a failure.
    """

    def __init__(self, console: Console, as_json: bool = False, times: bool = False) -> None:
        self.failed = False
        self.events = 0
        self._console = console
        self._as_json = as_json
        self._times = times
        self._line = ""  # what stands on the last line, if that has not ended
        self._transient = False  # it is our own line of a stage that goes on
        self._repeats = Repeats()
        self._symptoms = Symptoms()
        self._hints: set[str] = set()
        is_terminal = console.is_terminal or console.file.isatty()
        self._passing = Passing() if is_terminal else None

    def show(self, item: Event | Output) -> None:
        """Print one event or output."""
        if isinstance(item, Output):
            self._output(item)
            return
        self.events += 1
        if item.verdict is not None:
            self.failed = item.state == "fail"
        if self._as_json:
            self._write(json.dumps(as_object(item)) + "\n")
        else:
            self._event(item)

    def note(self, text: str) -> None:
        """Say something that is not from the board, on standard error, on a line of its own."""
        self.end_line()
        click.echo(text, err=True)

    def end_line(self) -> None:
        """Begin a new line where the last one has not ended."""
        self._pass_rest()
        if self._transient:
            self._clear()
        elif self._line:
            self._write("\n")
        self._line = ""

    def _pass_rest(self) -> None:
        if self._passing is not None and (rest := self._passing.end()):
            self._write(rest)

    def _event(self, event: Event) -> None:
        self._pass_rest()
        if self._transient or len(self._line) > _PREFIX or not self._line.isprintable():
            self.end_line()
        if event.state == "start":
            self._start(event)
            return
        self._stamp()
        self._console.print(explained(event, self._repeats), width=self._width())
        self._console.file.flush()
        self._line = ""

    def _start(self, event: Event) -> None:
        """The stage that goes on, until the next thing is printed: only on a terminal."""
        if self._console.is_terminal and not self._line:
            self._stamp()
            self._console.print(Line(stage_line(event), end=""), width=self._width(), end="")
            self._transient = True

    def _output(self, output: Output) -> None:
        if self._as_json:
            return
        if self._transient:
            self.end_line()
        self._write(self._passing.feed(output.text) if self._passing else output.text)
        ended = output.data.endswith((b"\n", b"\r"))
        self._line = "" if ended else self._line + output.text
        symptom = self._symptoms.see(output)
        if symptom and symptom.message not in self._hints:
            self._hints.add(symptom.message)
            self.note(f"firmshake: {symptom.message}\n  {symptom.hint}")

    def _stamp(self) -> None:
        if self._times:
            stamp = time.strftime("%H:%M:%S ")
            self._write(stamp)
            self._line += stamp

    def _width(self) -> int:
        return max(self._console.width - len(self._line), 20)

    def _clear(self) -> None:
        self._write("\r\x1b[K")
        self._transient = False
        self._line = ""

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


def explained(event: Event, repeats: Repeats) -> RenderableType:
    """The event as it is shown: explained, unless it was when the stage last ran."""
    if repeats.again(event):
        return Line(stage_line(event).append(" again", "dim"))
    return show(event)


def as_object(event: Event) -> dict[str, object]:
    """The event as `--json` prints it."""
    why, fix = remedy(event) if event.state in ("fail", "warn") else ("", "")
    return {
        "seq": event.seq,
        "ms": event.ms,
        "stage": event.stage,
        "state": event.state,
        "verdict": event.verdict,
        "why": why,
        "fix": fix,
        "fields": event.fields,
    }
