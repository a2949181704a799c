"""The console of several boards: their merged lines, the view of them, and the keys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from firmshake import saving
from firmshake.cli.consoleview import Look, View
from firmshake.cli.controls import Controls
from firmshake.cli.prefix import Prefixes
from firmshake.cli.terminal import terminal
from firmshake.climbgate import Only
from firmshake.console import OpenPort
from firmshake.consoles import Consoles, Place
from firmshake.errors import Error
from firmshake.feed import Line, Opened, Refused, Said
from firmshake.saving import Log, LogFolder
from firmshake.wording import plural

if TYPE_CHECKING:
    from firmshake.cli.keys import Keyboard

_BATCH = 500  # items between two looks at the keys
_TICK_S = 0.5


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line; without `ports`, all boards that are plugged in."""

    ports: Sequence[str]
    baud: int
    reset: bool
    log: Path | None
    only: Only
    search: str
    look: Look


def run(wish: Wish) -> None:
    """Show what the boards say, until Ctrl-C or `q`.

    Raises Error where none of the ports that were named can be opened, or a log not be written.
    """
    console = terminal()
    interactive = _is_interactive(console) and not wish.look.as_json
    controls = Controls(wish.only, wish.search)
    prefixes = Prefixes(numbered=interactive and wish.look.named)
    view = View(console, Console(stderr=True, highlight=False), prefixes, controls, wish.look)
    line = _line(wish)
    reset = saving.reset if wish.reset else None
    keyboard = _keyboard(view) if interactive else None
    try:
        with Consoles(line, reset, events_only=wish.look.as_json) as consoles:
            view.note(_greeting(wish, interactive))
            if keyboard is not None:
                keyboard.begin()
            _begin(consoles, wish.ports, view)
            for board in consoles.boards:
                prefixes.expect(board)
            _show(consoles, view, controls, keyboard, _Doors(len(wish.ports)))
    except KeyboardInterrupt:
        pass
    finally:
        if keyboard is not None:
            keyboard.end()
        view.status.clear()


def plugged() -> list[Place]:
    """Where boards are plugged in, by their first serial port, as `firmshake boards` lists them."""
    from firmshake.boards import plugged as boards

    return [Place(row.key, row.ports[0]) for row in boards.rows() if row.ports]


class _Doors:
    """Knows when none of the ports that were named could be opened."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._refused: dict[int, Error] = {}
        self._is_any_open = False

    def see(self, came: Sequence[Said]) -> None:
        """Raises Error once that is certain."""
        for said in came:
            if isinstance(said.item, Opened):
                self._is_any_open = True
            elif isinstance(said.item, Refused):
                self._refused[said.board.number] = said.item.error
        if not self._is_any_open and 0 < self._count == len(self._refused):
            raise self._refused[min(self._refused)]


def _begin(consoles: Consoles, ports: Sequence[str], view: View) -> None:
    if ports:
        consoles.listen_to(ports)
        return
    consoles.follow(plugged)
    if not consoles.boards:
        view.note("no board is plugged in; waiting for one")


def _show(
    consoles: Consoles,
    view: View,
    controls: Controls,
    keyboard: Keyboard | None,
    doors: _Doors,
) -> None:
    while not controls.is_at_end:
        is_idle = controls.is_paused or not consoles.waiting
        for _ in consoles.wait(keyboard.descriptors if keyboard else [], _TICK_S * is_idle):
            for key in keyboard.read() if keyboard else []:
                controls.press(key, len(consoles.boards))
        came = [] if controls.is_paused else consoles.take(_BATCH)
        doors.see(came)
        view.show(came)
        if controls.wants_help:
            controls.wants_help = False
            view.help()
        if keyboard is not None and keyboard.is_taken:
            view.draw_status(consoles.waiting)


def _line(wish: Wish) -> Line:
    """What opens a port and its log: the file that was named, or one in the folder that was."""
    folder = LogFolder(wish.log) if wish.log and len(wish.ports) != 1 else None

    @contextmanager
    def line(port: str) -> Iterator[Callable[[], OpenPort]]:
        log = folder.log(port) if folder else Log(wish.log) if wish.log else None
        with closing(log) if log else nullcontext():
            yield lambda: saving.open_saved(port, wish.baud, log)

    return line


def _is_interactive(console: Console) -> bool:
    can_clear = console.is_terminal and not console.is_dumb_terminal
    return can_clear and sys.stdin is not None and sys.stdin.isatty() and console.file.isatty()


def _keyboard(view: View) -> Keyboard:
    from firmshake.cli.keys import Keyboard

    return Keyboard(view.status.leave, view.status.forget)


def _greeting(wish: Wish, interactive: bool) -> str:
    count = len(wish.ports)
    what = f"{count} {plural(count, 'board')}" if count else "all boards that are plugged in"
    logs = f"; logs go to {wish.log}" if wish.log else ""
    keys = ", ? shows the keys" if interactive else ""
    return f"{what} at {wish.baud} baud{logs}; Ctrl-C ends it{keys}"
