"""The virtual CircuitPython board's processor: one run, from reset or reload to the next.

Started by child.py on a terminal, with the number of a descriptor that holds its settings. Files
and `os` become the board's only once all modules are loaded that CPython itself reads lazily.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import io
import json
import os
import signal
import sys
import threading
import time
import tomllib
import traceback
import types
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

# What programs of a board may import, before `os` and `open` are the board's
for _name in (
    "binascii",
    "hashlib",
    "random",
    "select",
    "socket",
    "ssl",
    "struct",
    "typing",
    "encodings.idna",
    "zlib",
):
    importlib.import_module(_name)

VIRTUAL = Path(__file__).resolve().parents[1]
if TYPE_CHECKING:
    from firmshake.virtual.circuitpython import (
        board,
        files,
        microcontroller,
        rtc,
        socketpool,
        storage,
        supervisor,
        wifi,
    )
    from firmshake.virtual.circuitpython import ssl as board_ssl

    repl: Any
else:
    sys.path[:0] = [str(VIRTUAL), str(VIRTUAL / "board")]
    # the prompts, which are MicroPython's too
    import repl
    from circuitpython import (
        board,
        files,
        microcontroller,
        rtc,
        socketpool,
        storage,
        supervisor,
        wifi,
    )
    from circuitpython import ssl as board_ssl

_MODULES = (microcontroller, rtc, socketpool, storage, supervisor, wifi)
_VERSION = (9, 2, 1)
_DATE = "2024-11-20"
# After the last write to the drive (supervisor/shared/reload.c)
_RELOAD_S = 0.75
_LOOK_S = 0.15

Uname = namedtuple("Uname", ("sysname", "nodename", "release", "version", "machine"))


class Stdin:
    """Text, as CircuitPython has it: no `buffer`."""

    def read(self, count: int = -1) -> str:
        """So many characters; waits for them."""
        data = b""
        while len(data) != count:
            piece = os_read(0, 1)
            if not piece:
                break
            data += piece
        return data.decode()

    def readline(self) -> str:
        """Up to the end of a line."""
        line = ""
        while not line.endswith("\n") and (key := self.read(1)):
            line += "\n" if key == "\r" else key
        return line


os_read = os.read


def main() -> None:
    """One run."""
    settings = _settings()
    board.settings.update(settings)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    terminal = os.open(settings["terminal"], os.O_RDWR)
    out = sys.stdout = io.TextIOWrapper(
        io.FileIO(1, "w"), encoding="utf-8", newline="\n", write_through=True
    )
    banner = _become(settings)
    scope: dict[str, Any] = {"__name__": "__main__"}
    console = repl.Console(scope, settings, str(VIRTUAL))
    console._banner = "\n" + banner
    _boot(settings, console, banner)
    watch = Watch(out)
    if settings["has_drive"]:
        threading.Thread(target=watch.run, daemon=True).start()
    try:
        if settings["mode"] == "scripts" and _code(console, out):
            board.leave(board.SOFT_RESET)
        watch.is_on = False
        console.serve()
    except repl.Gone:
        board.leave(0)
    except SystemExit:
        pass
    out.write("soft reboot\n")
    os_close(terminal)
    board.leave(board.SOFT_RESET_RAW if console.raw else board.SOFT_RESET)


os_close = os.close


def _settings() -> dict[str, Any]:
    with open(int(sys.argv[1])) as file:
        settings: dict[str, Any] = json.load(file)
    sys.argv[:] = []
    return settings


def _become(settings: dict[str, Any]) -> str:
    """Put the board's modules in the places of CPython's; what the banner says."""
    version = ".".join(map(str, _VERSION))
    machine = settings["machine"]
    banner = f"Adafruit CircuitPython {version} on {_DATE}; {machine}"
    platform = settings["platform"]
    sys.implementation.name = "circuitpython"
    sys.implementation.version = _VERSION  # type: ignore[assignment]
    sys.implementation._machine = machine  # type: ignore[attr-defined]
    sys.version = f"3.4.0; Adafruit CircuitPython {version} on {_DATE}"
    sys.platform = platform
    sys.dont_write_bytecode = True
    sys.stdin = Stdin()
    sys.path[:] = [settings["root"], settings["root"] + "/lib"]
    sys.print_exception = _print_exception  # type: ignore[attr-defined]
    # figures of a Pico 2 W
    import gc

    gc.mem_free = lambda: 200_000  # type: ignore[attr-defined]
    gc.mem_alloc = lambda: 100_000  # type: ignore[attr-defined]
    for module in _MODULES:
        sys.modules[module.__name__.rpartition(".")[2]] = module
    sys.modules["ssl"] = board_ssl
    sys.modules["micropython"] = _micropython()
    wifi.SSID, wifi.PASSWORD = settings["wifi"]["ssid"], settings["wifi"]["password"] or ""
    board_ssl.path_of = files.where
    files.is_writable = not settings["has_drive"] and not settings["is_read_only"]
    uname = Uname(platform, platform, version, f"{version} on {_DATE}", machine)
    environment = _environment()
    sys.modules["os"] = files.board_os(environment.get, uname)
    repl.open = lambda number, _: io.FileIO(number, closefd=False)
    repl.os = sys.modules["os"]
    builtins.execfile = _execfile  # type: ignore[attr-defined]
    vars(builtins)["open"] = files.board_open
    _join(environment)
    return banner


def _micropython() -> types.ModuleType:
    """The module of that name, which CircuitPython has too."""
    made = types.ModuleType("micropython")
    vars(made)["const"] = lambda value: value
    return made


def _environment() -> dict[str, Any]:
    """settings.toml, which `os.getenv` reads; one that is broken says nothing."""
    try:
        with files.real_open(files.where("settings.toml"), "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError):
        return {}


def _join(environment: dict[str, Any]) -> None:
    """The firmware joins the network that settings.toml names."""
    wifi.radio.connected = False
    wifi.radio.ipv4_address = None
    if ssid := environment.get("CIRCUITPY_WIFI_SSID"):
        with contextlib.suppress(ConnectionError, ValueError):
            wifi.radio.connect(ssid, environment.get("CIRCUITPY_WIFI_PASSWORD", ""))


def _boot(settings: dict[str, Any], console: Any, banner: str) -> None:
    """boot.py, after power-on or reset only; what it prints goes to boot_out.txt."""
    if not settings["is_first"]:
        storage.recall()
        return
    said = io.StringIO()
    storage.is_booting = True
    with contextlib.redirect_stdout(said):
        console.run_file("boot.py")
    storage.is_booting = False
    storage.remember()
    lines = [banner, *settings["boot_out"]]
    if output := said.getvalue():
        lines += ["boot.py output:", output]
    with contextlib.suppress(OSError):
        path, text = files.where("boot_out.txt"), "\r\n".join(lines) + "\r\n"
        if _old(path) != text:
            with files.real_open(path, "w", newline="") as file:
                file.write(text)


def _old(path: str) -> str:
    try:
        with files.real_open(path, newline="") as file:
            return str(file.read())
    except OSError:
        return ""


def _code(console: Any, out: Any) -> bool:
    """code.py, then a key: whether it is to run again."""
    out.write("\ncode.py output:\n")
    console.run_file("code.py")
    out.write("\nCode done running.\n\nPress any key to enter the REPL. Use CTRL-D to reload.\n")
    return bool(console._key() == 4)


def _execfile(name: str, scope: dict[str, Any]) -> None:
    with files.real_open(files.where(name), "rb") as file:
        program = compile(file.read(), name, "exec")
    exec(program, scope)  # noqa: S102  a board runs programs


def _print_exception(error: BaseException, out: Any = None) -> None:
    """As on a board: no lines of source, and the board's names of files."""
    out = out or sys.stdout
    frames = [
        f'  File "{files.shown(frame.filename)}", line {frame.lineno}, in {frame.name}\n'
        for frame in traceback.extract_tb(error.__traceback__)
        # of imports, which are C on a board
        if "importlib" not in frame.filename
    ]
    if frames:
        out.write("Traceback (most recent call last):\n")
        out.write("".join(frames))
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        # there are none of its kinds on a board
        out.write(f"OSError: {error}\n")
    else:
        out.write("".join(traceback.format_exception_only(error)))


class Watch:
    """Starts code.py anew after the drive has changed, until somebody is at the REPL."""

    def __init__(self, out: Any) -> None:
        self.is_on = True
        self._out = out
        self._root = Path(board.settings["root"])
        # before any program runs: what is written from then on is a change
        self._seen = self._look()

    def run(self) -> None:
        """For ever."""
        seen, changed_at = self._seen, None
        while True:
            time.sleep(_LOOK_S)
            now = self._look()
            if now != seen:
                seen, changed_at = now, time.monotonic()
            elif changed_at is not None and time.monotonic() - changed_at > _RELOAD_S:
                changed_at = None
                if self.is_on and supervisor.runtime.autoreload:
                    self._out.write("\nCode stopped by auto-reload. Reloading soon.\n")
                    board.leave(board.SOFT_RESET)

    def _look(self) -> list[tuple[str, int, int]]:
        found = []
        for path in _walked(str(self._root)):
            with contextlib.suppress(OSError):
                status = _stat(path)
                found.append((path, status.st_mtime_ns, status.st_size))
        return found


_stat = os.stat
_walk = os.walk


def _walked(root: str) -> list[str]:
    return [f"{top}/{name}" for top, _, names in _walk(root) for name in sorted(names)]


if __name__ == "__main__":
    main()
