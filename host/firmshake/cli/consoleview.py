"""Prints what several boards say: each line behind its board's name, and never two in one.

Results on standard output; what is said of a port, on standard error. Controls and colours are as
in `printer`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from rich.ansi import AnsiDecoder
from rich.console import Console, RenderableType
from rich.text import Text

from firmshake.cli.controls import HELP, Controls
from firmshake.cli.passing import Passing
from firmshake.cli.prefix import Prefixes
from firmshake.cli.printer import as_object, explained
from firmshake.cli.standing import STANDINGS, Standing
from firmshake.cli.statusline import StatusLine
from firmshake.console import Back, Lost
from firmshake.event import Event, Output
from firmshake.feed import Item, NotReset, Opened, Refused, Said
from firmshake.ladderview import show
from firmshake.merging import Dropped
from firmshake.wording import printable

_NARROWEST = 20  # columns for what stands behind the name
_UNBROKEN = 10_000  # columns in which nothing that a board says is wrapped


@dataclass(frozen=True)
class Look:
    """How it is shown: `named` puts the board's name before each line, or into each object."""

    as_json: bool = False
    times: bool = False
    named: bool = True


class View:
    """Prints on `console`, and its notes on `notes`; `controls` say what is left out."""

    def __init__(
        self, console: Console, notes: Console, prefixes: Prefixes, controls: Controls, look: Look
    ) -> None:
        self.status = StatusLine(console)
        self._console = console
        self._notes = notes
        self._prefixes = prefixes
        self._controls = controls
        self._look = look
        self._only = controls.only
        self._seen: dict[int, Standing] = {}
        self._lines: list[Text | str] = []
        # in a file or a pipe all is left as it came
        self._is_styled = console.is_terminal or console.file.isatty()

    def show(self, came: Iterable[Said]) -> None:
        """Print what is to be seen of this."""
        self._change_filter()
        for said in came:
            seen = self._seen.get(said.board.number)
            if seen is None:
                seen = self._seen[said.board.number] = Standing(said, self._only)
            if isinstance(said.item, Output):
                self._watch(said, said.item, seen)
            for one in seen.take(said):
                self._print(one, seen)
        self._flush()

    def help(self) -> None:
        """Print what the keys do."""
        self._lines += HELP
        self._flush()

    def draw_status(self, waiting: int) -> None:
        """Show what is going on below it all; so many items have come and are not shown yet."""
        stand = [seen.stands for seen in self._seen.values()]
        counts = [(stand.count(word), word) for word in STANDINGS]
        parts = [", ".join(f"{count} {word}" for count, word in counts if count)]
        if self._controls.is_paused:
            parts.append(f"PAUSED, {waiting} waiting: p goes on")
        parts += self._controls.status() or ["? shows the keys"]
        self.status.show(f" {' - '.join(part for part in parts if part)} ")

    def note(self, text: str, hint: str = "", before: Text | None = None) -> None:
        """Say something that is not from a board, on standard error, with `before` before it."""
        self._flush()
        self.status.clear()
        before = before or Text()
        lines = [f"firmshake: {printable(text)}", *([f"  {printable(hint)}"] if hint else [])]
        width = self._notes.width - before.cell_len if self._notes.is_terminal else _UNBROKEN
        for line in lines:
            for part in Text(line).wrap(self._notes, max(width, _NARROWEST)):
                self._notes.print(before + part, soft_wrap=True)

    def _change_filter(self) -> None:
        if self._controls.only == self._only:
            return
        self._only = self._controls.only
        for seen in self._seen.values():
            for held in seen.gate.change(self._only):
                self._print(held, seen)

    def _watch(self, said: Said, output: Output, seen: Standing) -> None:
        """Say what is wrong with a board whose agent does not speak: once a board."""
        symptom = seen.symptoms.see(output)
        if symptom is not None and symptom.message not in seen.hints:
            seen.hints.add(symptom.message)
            self.note(symptom.message, symptom.hint, self._before(said))

    def _print(self, said: Said, seen: Standing) -> None:
        item = said.item
        if isinstance(item, Event | Output | Dropped) and self._controls.hides(said.board.number):
            return
        if isinstance(item, Event):
            self._event(said, item, seen)
        elif isinstance(item, Output):
            self._output(said, item, seen)
        else:
            self.note(*_words_of(item, said.board.port), self._before(said))

    def _event(self, said: Said, event: Event, seen: Standing) -> None:
        seen.is_half = False
        is_searched = bool(self._controls.search)
        if is_searched and not self._controls.finds(self._text_of(event)):
            return
        if self._look.as_json:
            board = {"port": said.board.port, "device": said.device} if self._look.named else {}
            self._lines.append(json.dumps(board | as_object(event)))
        elif event.state != "start":
            # what is looked for may stand in what would not be explained again
            shown = show(event) if is_searched else explained(event, seen.repeats)
            self._block(said, shown)

    def _output(self, said: Said, output: Output, seen: Standing) -> None:
        text = output.text.rstrip("\r\n")
        is_rest, seen.is_half = seen.is_half, not output.data.endswith((b"\r", b"\n"))
        if self._look.as_json or (is_rest and not text):
            return
        line = self._safe(text)
        if self._controls.finds(str(line)):
            self._line(self._before(said), line)

    def _safe(self, text: str) -> Text | str:
        """The text as it may be printed: on a terminal, with the colours that it has there."""
        if not self._is_styled:
            return text
        passing = Passing()
        safe = passing.feed(text) + passing.end()
        return AnsiDecoder().decode_line(safe) if "\x1b" in safe else safe

    def _text_of(self, event: Event) -> str:
        """All that can be shown of an event, unbroken."""
        return "\n".join(map(str, self._rendered(show(event), _UNBROKEN)))

    def _block(self, said: Said, shown: RenderableType) -> None:
        prefix = self._before(said)
        room = self._console.width - (prefix.cell_len if self._is_styled else 0)
        for line in self._rendered(shown, max(room, _NARROWEST)):
            self._line(prefix, line)

    def _rendered(self, shown: RenderableType, width: int) -> list[Text]:
        options = self._console.options.update(width=width)
        lines = self._console.render_lines(shown, options, pad=False)
        return [Text.assemble(*((one.text, one.style or "") for one in line)) for line in lines]

    def _line(self, prefix: Text, line: Text | str) -> None:
        if not self._is_styled:
            self._lines.append(f"{prefix}{line}")
            return
        shown = Text(line) if isinstance(line, str) else line
        if self._controls.search:
            shown.highlight_words([self._controls.search], "reverse", case_sensitive=False)
        self._lines.append(prefix + shown)

    def _before(self, said: Said) -> Text:
        prefix = self._prefixes.of(said) if self._look.named else Text()
        if not self._look.times:
            return prefix
        return Text(time.strftime("%H:%M:%S ", time.localtime(said.at))) + prefix

    def _flush(self) -> None:
        if not self._lines:
            return
        self.status.clear()
        if self._is_styled and not self._look.as_json:
            self._console.print(Text("\n").join(map(Text.assemble, self._lines)), soft_wrap=True)
        else:
            self._console.file.write("".join(f"{line}\n" for line in self._lines))
        self._console.file.flush()
        self._lines.clear()


def _words_of(item: Item, port: str) -> tuple[str, str]:
    """What there is to say of a port, and a hint."""
    match item:
        case Lost(reason):
            return f"{reason}; waiting for it to come back", ""
        case Back():
            return f"{port} is back", ""
        case Opened():
            return f"listening to {port}", ""
        case Refused(error):
            return f"{error.message}; waiting for it", error.hint
        case NotReset(error):
            return error.message, error.hint
        case Dropped(count):
            what = "1 line was" if count == 1 else f"{count} lines were"
            return f"{what} left out here", ""
    raise AssertionError(item)
