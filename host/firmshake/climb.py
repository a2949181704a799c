"""Runs the agent once on this computer, with no board: the same code, the same events.

The identity goes to the agent over a pipe, and nothing of it touches a disk.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from firmshake import bundle, interrupts, tools, verdict
from firmshake.errors import Error
from firmshake.event import Event
from firmshake.reader import Reader
from firmshake.verdict import Verdict

RUNTIMES = ("micropython", "cpython")

# Seconds that a climb may take beyond the sum of its stages' own limits before it is ended
_GRACE_S = 30.0
_STAGES = 6  # that wait for the network, each up to the stage's limit


def run(
    settings: Mapping[str, object],
    files: Mapping[str, bytes],
    *,
    runtime: str = "micropython",
    command: Sequence[str] | None = None,
    clock: datetime | None = None,
    heap: str | None = None,
    bits: int = 64,
    within: Sequence[str] = (),
    hold: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Verdict:
    """The verdict of one climb with these settings and identity files (by name, as on a board).

    `command` starts another agent in the place of `runtime`, on this computer's Python, that takes
    the same line on standard input. `clock` is the time that the agent believes, the computer's own
    where None; `heap` limits MicroPython's heap ("96k"); `within` is a command that the runtime is
    started by; with `hold` a session that is ready is held until it fails. Raises Error where the
    runtime is not installed, or cannot be given that time.
    """
    environment: dict[str, str] = {}
    if command is not None:
        runtime = "cpython"
    else:
        command, environment = _command(runtime, bits, heap)
    if clock is not None:
        environment |= _believing(clock, runtime, bits)
    limit_ms = settings.get("limit_ms", 15000)
    assert isinstance(limit_ms, int)
    # MicroPython imports from the current folder first
    folder = _library() if runtime == "micropython" else None
    with _running([*within, *command], environment, folder) as process:
        watchdog = threading.Timer(_GRACE_S + _STAGES * limit_ms / 1000, process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            return _follow(process, _bundle(settings, files, hold), on_event)
        finally:
            watchdog.cancel()


@contextlib.contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], folder: str | None
) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a command in `folder`; it does not outlive the context."""
    process = None
    try:
        with interrupts.held():
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        yield process
    finally:
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                # what it never read of its input is lost with it
                with contextlib.suppress(BrokenPipeError):
                    if stream is not None:
                        stream.close()


def _follow(
    process: subprocess.Popen[bytes], line: bytes, on_event: Callable[[Event], None]
) -> Verdict:
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it ended at once: what it said about that is read below
    events: list[Event] = []
    for found in _events(process):
        events.append(found)
        on_event(found)
    if not events:
        said = process.stderr.read().decode(errors="replace").strip().splitlines()
        raise Error(
            f"the agent did not start: {said[-1] if said else 'it said nothing'}",
            hint="run `make setup` again, or try the other --runtime",
        )
    return verdict.judge(events)


def _events(process: subprocess.Popen[bytes]) -> Iterator[Event]:
    """The events of a process, as they come, until it ends."""
    assert process.stdout is not None
    reader = Reader()
    while data := os.read(process.stdout.fileno(), 4096):
        yield from (found for found in reader.feed(data) if isinstance(found, Event))
    yield from (found for found in reader.close() if isinstance(found, Event))


def _bundle(settings: Mapping[str, object], files: Mapping[str, bytes], hold: bool) -> bytes:
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    whole = {"settings": dict(settings), "files": encoded, "hold": hold}
    return json.dumps(whole).encode() + b"\n"


def _command(runtime: str, bits: int, heap: str | None) -> tuple[list[str], dict[str, str]]:
    if runtime == "cpython":
        # -P: the folder that we were started in is no place to find modules in
        return [sys.executable, "-P", "-m", "firmshake_agent.once"], {}
    command = tools.micropython(bits)
    if heap:
        command += ["-X", f"heapsize={heap}"]
    return [*command, "-m", "firmshake_agent.once"], {"MICROPYPATH": _library()}


def _believing(clock: datetime, runtime: str, bits: int) -> dict[str, str]:
    # each with the one that was made for the same libc
    library = tools.faketime(bits) if runtime == "micropython" else tools.system_faketime()
    if library is None:
        other = "" if runtime == "micropython" else " or leave out --runtime,"
        raise Error(
            f"cannot give {runtime} another time: there is no libfaketime for it",
            hint=f"run `make setup`,{other} or install your system's package libfaketime",
        )
    # up, so that it never is the second before
    offset = math.ceil((clock - datetime.now(UTC)).total_seconds())
    preload = "DYLD_INSERT_LIBRARIES" if sys.platform == "darwin" else "LD_PRELOAD"
    return {preload: str(library), "FAKETIME": f"{offset:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@functools.cache
def _library() -> str:
    """A folder with the compiled agent, kept until this process ends. It holds no secret."""
    folder = tempfile.mkdtemp(prefix="firmshake-agent-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for path, data in bundle.doctor_files().items():
        if path.startswith("/lib/"):
            target = Path(folder) / path.removeprefix("/lib/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return folder
