"""The fast road: a board's files as one compressed stream over its REPL, replaced as a whole.

What the board lacks is written beside what it has, read back and compared by SHA-256. Then one
rename puts a small program in the place of the board's entry point, and that program moves the
files into place and deletes what is obsolete. On LittleFS a rename is atomic: whenever the power
goes, the board comes up with all of its old files, or it finishes the move by itself and comes up
with all of the new ones; a key is never met by another's certificate. On FAT a rename over an
existing file is two steps: between them the entry point is missing, and the same command, run
again, repairs that.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from firmshake import serialport
from firmshake.errors import Error
from firmshake.repl import programs, running, stream, transfer
from firmshake.repl.rawrepl import Broken, OutOfMemory, RawRepl, connected
from firmshake.repl.running import CIRCUITPYTHON, Running
from firmshake.repl.stream import Shape
from firmshake.repl.survey import Held, survey

ENTRY = "/main.py"
CIRCUITPYTHON_ENTRY = "/code.py"
# What lies in these is ours alone
OWNED = ("/firmshake", "/lib/firmshake_agent", "/lib/adafruit_minimqtt")

# For an ESP's UART, which MicroPython leaves at 115200; common adapters know this speed, and where
# one does not, or the console is USB, both sides notice
FAST_BAUD = 921600
_UART_PLATFORM = "esp32"

# A directory and a small file take two blocks each, and a move may have to split a directory
_SPARE_BLOCKS = 16
# Below the first a board's memory is tidied by a soft reset, below the second it is asked in vain
# (measured on 32 bits: 42 KiB are too few, 65 are enough)
_ROOMY = 80 << 10
_LEAST = 56 << 10
# Free heap, uncompressed bytes a block, bits of window: a block's compressed bytes and its window
# are one piece of memory each. The last does where memory is in pieces, or a block unpacked in one
_BLOCKS = ((144 << 10, 96 << 10, 15), (_ROOMY, 32 << 10, 13))
_SMALL_BLOCK, _SMALL_BITS = 8 << 10, 12
_ATTEMPTS = 2

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Uploaded:
    """What an upload did: paths that were written and deleted, bytes on the line, and its speed.

    Nothing was written where the board held everything already. `verified` is the SHA-256 over the
    contents of all files in the order of their paths, as read back from the board.
    """

    board: Running
    written: tuple[str, ...]
    deleted: tuple[str, ...]
    sent: int
    baud: int
    seconds: float
    verified: str


def upload(
    port: str,
    files: Mapping[str, bytes],
    on_progress: OnProgress = lambda done, total: None,
    *,
    baud: int = serialport.CONSOLE_BAUD,
    fast: int | None = FAST_BAUD,
    entry: str | None = None,
    owned: Iterable[str] = OWNED,
    may_reset: bool = True,
) -> Uploaded:
    """Make the board on `port` hold `files` (by absolute path), as `replace` does.

    `baud` is the console's speed. `fast` is the speed to go to meanwhile, where the board's console
    may be an ESP's UART; None stays. A line that fails is tried once more from the start, without
    `fast`. Raises Error where the port cannot be had or the work not be done, entering.NoRepl where
    no REPL answers.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with connected(port, baud, may_reset=may_reset) as repl:
                return replace(repl, files, on_progress, fast=fast, entry=entry, owned=owned)
        except (Broken, transfer.Noise):
            if attempt + 1 == _ATTEMPTS:
                raise
            fast = None
    raise AssertionError


def replace(
    repl: RawRepl,
    files: Mapping[str, bytes],
    on_progress: OnProgress = lambda done, total: None,
    *,
    fast: int | None = FAST_BAUD,
    entry: str | None = None,
    owned: Iterable[str] = OWNED,
) -> Uploaded:
    """Make a board in its raw REPL hold `files`: only what differs travels.

    `entry` (default: main.py, on CircuitPython code.py) must be among them. Other files in the
    folders `owned` are deleted, and sources that would hide a compiled file. `on_progress` gets
    bytes of the stream that the board has taken, and all of them. The board stays in its raw REPL
    and runs nothing of it yet. Raises Error as `upload` does.
    """
    began, owned = time.monotonic(), tuple(owned)
    board = running.ask(repl)
    if board.memory < _ROOMY:
        repl.soft_reset()
        board = running.ask(repl)
    entry = entry or (CIRCUITPYTHON_ENTRY if board.runtime == CIRCUITPYTHON else ENTRY)
    assert entry in files
    held = survey(repl, files, owned, entry)
    plan = _Plan(files, held, owned, entry)
    wanted = _digest(files[path] for path in sorted(files))
    if plan.is_empty:
        return Uploaded(board, (), (), 0, repl.wire.baud, time.monotonic() - began, wanted)
    _check_room(repl, board, held.free, plan)
    if board.platform != _UART_PLATFORM or not board.binary:
        fast = None
    for shape in _shapes(repl, board):
        blocks = [stream.block(plan.program(shape, files), shape)]
        blocks += stream.blocks(plan.contents, shape)
        try:
            sent = transfer.send(repl, blocks, shape, fast, on_progress)
            break
        except OutOfMemory:
            if shape.block == _SMALL_BLOCK:
                raise
            repl.soft_reset()
    if sent.verified != wanted:
        raise Error(
            f"the files on the board on {repl.wire.name} are not what was sent",
            hint="its flash may be worn: run the same command again, then try another board",
        )
    seconds = time.monotonic() - began
    written = tuple(sorted(plan.travels))
    return Uploaded(board, written, plan.drops, sent.size, sent.baud, seconds, wanted)


class _Plan:
    """What has to travel and what has to go, given what the board holds.

    What travels is written beside what is there. Only where the board has nothing of ours yet, it
    is written where it belongs: nothing that runs there knows it, and a move less is time won.
    """

    def __init__(self, files: Mapping[str, bytes], held: Held, owned: tuple[str, ...], entry: str):
        folders = tuple(folder + "/" for folder in owned)
        differ = {
            path: data
            for path, data in files.items()
            if held.files.get(path) != hashlib.sha256(data).digest()
        }
        self.drops = tuple(sorted(path for path in held.files if path not in files))
        self.is_empty = not differ and not self.drops
        # the entry point always: the finisher takes its place
        self.travels = differ | {entry: files[entry]}
        is_fresh = not any(path.startswith(folders) for path in held.files)
        self._moves = {
            path: f"{programs.STAGE}/{number}"
            for number, path in enumerate(self.travels)
            if not (is_fresh and path.startswith(folders))
        }
        self._finisher = programs.finisher(entry)
        self._entry = entry
        self.contents = b"".join(self.travels.values()) + self._finisher

    def program(self, shape: Shape, files: Mapping[str, bytes]) -> bytes:
        """The receiver, for block 0."""
        places = [(self._moves.get(path, path), data) for path, data in self.travels.items()]
        places.append((f"{programs.STAGE}/finish", self._finisher))
        moves = [f"{place}\n{path}\n" for path, place in self._moves.items()]
        moves += [f"\n{path}\n" for path in self.drops]
        text = programs.program(
            "receiver",
            STAGE=programs.STAGE,
            ENTRY=self._entry,
            FILES="\n".join(f"{len(data)} {place}" for place, data in places),
            SUM=_digest([self.contents]),
            MOVES="".join(moves),
            ALL="\n".join(sorted(files)),
            BLOCKS=1 + -(-len(self.contents) // shape.block),
        )
        return text.encode()


def _check_room(repl: RawRepl, board: Running, free: int, plan: _Plan) -> None:
    sizes = [len(data) for data in plan.travels.values()]
    blocks = sum(-(-size // board.block) for size in sizes) + _SPARE_BLOCKS
    if blocks * board.block > free:
        raise Error(
            f"the filesystem of the board on {repl.wire.name} is too full: {free >> 10} KiB"
            f" are free, and {blocks * board.block >> 10} are needed to keep old and new files"
            " until all are written",
            hint="delete files of your own from it; or write its filesystem through its boot"
            " loader",
        )
    if board.memory < _LEAST:
        raise Error(
            f"the board on {repl.wire.name} has {board.memory >> 10} KiB of memory free, and"
            f" {_LEAST >> 10} are needed",
            hint="a boot.py that holds memory can wait; or write its filesystem through its boot"
            " loader",
        )


def _shapes(repl: RawRepl, board: Running) -> Iterator[Shape]:
    """What suits the board, and what else to try where its memory is in pieces."""
    if not board.inflate:
        raise Error(
            f"{board.runtime} {board.version} on {repl.wire.name} cannot unpack a stream",
            hint="write MicroPython 1.23 or later to it; or choose another way in",
        )
    if board.inflate == "zlib" or not board.binary:
        yield Shape(repl.window // 4 * 4, _SMALL_BLOCK, _SMALL_BITS, is_text=True)
        return
    for memory, block, bits in _BLOCKS:
        if board.memory >= memory:
            yield Shape(repl.window, block, bits)
    yield Shape(repl.window, _SMALL_BLOCK, _SMALL_BITS)


def _digest(contents: Iterable[bytes]) -> str:
    sha = hashlib.sha256()
    for data in contents:
        sha.update(data)
    return sha.hexdigest()
