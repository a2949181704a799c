"""Sends blocks to the receiver on a board, never more at a time than the board can take unread.

The board answers in bytes that no log line has: 6 (ACK) for a piece that it took, 2 (STX) before a
word of the receiver's, 4 (EOT) where the program ends. Everything else is somebody else's output.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from firmshake.errors import Error
from firmshake.repl import entering, programs
from firmshake.repl.rawrepl import LIMIT_S, Broken, RawRepl, failed
from firmshake.repl.stream import Block, Shape

_STX, _EOT, _ACK = 2, 4, 6
_LF = 10

# A piece takes milliseconds: after this it is lost, and zeros let the board find out
_ACK_S = 2.0
# Erasing and writing a block: 45 ms a sector on common chips, ten times that on worn ones
_FLASH_S = 30.0
# How long each side waits for the other at the new speed; the board waits longer
_HELLO_S = 1.0
# From a word at one speed until the board is at the other
_SETTLE_S = 0.05
_TAIL = 64  # looked at again for words that came in two parts
_PATIENCE = 4  # pieces of zeros in a row
# Pieces on the way: what raw-paste too allows, twice its window
_AHEAD = 2

# What ends the receiver, among the words of its last line: ports name an errno or give its number
_FULL = frozenset({"ENOSPC", "28"})
_READ_ONLY = frozenset({"EROFS", "30"})
_NOISY = frozenset({"noise", "ETIMEDOUT", "110", "KeyboardInterrupt"})


class Noise(Error):
    """Bytes were changed or lost on the way, more often than is worth going on."""

    def __init__(self, port: str) -> None:
        super().__init__(
            f"bytes are lost or changed on the way to the board on {port}",
            hint="check the cable, or use a shorter one; the board still has its old files",
        )


class Sent(NamedTuple):
    """Bytes on the line, the speed, and the SHA-256 that the board found at the end."""

    size: int
    baud: int
    verified: str


def send(
    repl: RawRepl,
    blocks: Sequence[Block],
    shape: Shape,
    fast: int | None,
    on_progress: Callable[[int, int], None],
) -> Sent:
    """Start the receiver and give it what it asks for, until it is done.

    Raises Noise where the line is too bad, and Error where the board could not do its part.
    """
    return _Sending(repl, blocks, shape, fast or 0, on_progress).run()


class _Sending:
    def __init__(
        self,
        repl: RawRepl,
        blocks: Sequence[Block],
        shape: Shape,
        fast: int,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._repl = repl
        self._wire = repl.wire
        self._blocks = blocks
        self._shape = shape
        self._slow = repl.wire.baud
        self._fast = 0 if fast == self._slow else fast
        self._used = self._slow
        self._on_progress = on_progress
        self._total = sum(len(block.wire) for block in blocks)
        self._sent = self._told = 0
        self._heard = bytearray()
        self._acks = 0
        self._tail = b""

    def run(self) -> Sent:
        """From the loader to the last word."""
        self._repl.start(self._loader())
        self._heard += self._repl.take_held()
        verified = ""
        try:
            while (word := self._word(_FLASH_S)) is not None:
                name, _, rest = word.partition(" ")
                if name == "send":
                    self._give(int(rest))
                elif name == "speed":
                    self._speed_up()
                elif name == "slow":
                    self._wire.baud = self._slow
                elif name == "done":
                    verified = rest
        except BaseException:
            # stop the receiver where it listens, so that whoever comes next finds a prompt
            with contextlib.suppress(Error):
                self._wire.write(b"\x03\x03")
                time.sleep(_SETTLE_S)
            raise
        finally:
            with contextlib.suppress(Error):
                self._wire.baud = self._slow
        self._end()
        return Sent(self._sent, self._used, verified)

    def _loader(self) -> str:
        table = tuple((len(block.wire), *block[1:]) for block in self._blocks)
        if self._shape.is_text:
            return programs.program("loader_text", W=self._shape.piece, B=table)
        return programs.program(
            "loader",
            W=self._shape.piece,
            B=table,
            FAST=self._fast,
            SLOW=self._slow,
        )

    # words

    def _word(self, limit_s: float) -> str | None:
        """The receiver's next word, None once it has ended; acknowledgements are counted."""
        ends = time.monotonic() + limit_s
        while True:
            found, word = self._parsed()
            if found:
                return word
            if time.monotonic() > ends:
                raise Broken(self._wire.name, "the receiver fell silent")
            self._heard += self._read(min(limit_s, 0.5))

    def _read(self, limit_s: float) -> bytes:
        data = self._wire.read(limit_s)
        self._tail = (self._tail + data)[-_TAIL:] if len(data) < _TAIL else data
        entering.check_running(self._wire.name, self._tail)
        return data

    def _parsed(self) -> tuple[bool, str | None]:
        """Whether a word, or the end, is among what was heard; takes all before it away."""
        heard = self._heard
        for at, byte in enumerate(heard):
            if byte == _ACK:
                self._acks += 1
            elif byte == _EOT:
                del heard[: at + 1]
                return True, None
            elif byte == _STX:
                end = heard.find(_LF, at)
                if end < 0:
                    del heard[:at]
                    return False, None
                word = heard[at + 1 : end].decode("utf-8", "replace").strip()
                del heard[: end + 1]
                return True, word
        heard.clear()
        return False, None

    # blocks

    def _give(self, number: int) -> None:
        """Send one block, a window ahead of the acknowledgements."""
        data, piece = self._blocks[number].wire, self._shape.piece
        pieces = len(data) // piece
        given = self._acks = 0
        patience, ends = _PATIENCE, time.monotonic() + _FLASH_S
        # a word ends it early: the last acknowledgement, or the whole receiver, may be lost
        while self._acks < pieces and not self._has_word():
            room = min(pieces, self._acks + _AHEAD) - given
            if room > 0:
                self._wire.write(data[given * piece : (given + room) * piece])
                given += room
            before = self._acks
            if not self._listen():
                patience -= 1
                if not patience:
                    raise Noise(self._wire.name)
                # what was lost would be waited for: the check will not hold, and it asks again
                self._wire.write(bytes(piece))
            elif self._acks > before:
                patience, ends = _PATIENCE, time.monotonic() + _FLASH_S
                self._tell(self._sent + self._acks * piece)
            elif time.monotonic() > ends:
                # it talks, but of something else
                raise Noise(self._wire.name)
        self._sent += given * piece
        self._tell(self._sent)

    def _has_word(self) -> bool:
        return any(byte in (_STX, _EOT) for byte in self._heard)

    def _tell(self, taken: int) -> None:
        """Progress that never goes back, though a block may be sent again."""
        if taken > self._told:
            self._told = min(taken, self._total)
            self._on_progress(self._told, self._total)

    def _listen(self) -> bool:
        """Whether something came in time; acknowledgements are taken out of it."""
        data = self._read(_ACK_S)
        self._acks += data.count(_ACK)
        self._heard += bytes(byte for byte in data if byte != _ACK)
        return bool(data)

    # speeds

    def _speed_up(self) -> None:
        """Go where the board goes; come back where it is not heard there."""
        time.sleep(_SETTLE_S)
        self._wire.baud = self._fast
        self._wire.write(b"U")
        try:
            word = self._hello()
        except Broken:
            word = ""
        if word:
            self._used = self._fast
        else:
            self._wire.baud = self._slow

    def _hello(self) -> str:
        ends = time.monotonic() + _HELLO_S
        while time.monotonic() < ends:
            self._heard += self._wire.read(0.1)
            end = self._heard.find(b"\x02send ")
            if end >= 0 and _LF in self._heard[end:]:
                del self._heard[:end]
                return "send"
        self._heard.clear()
        return ""

    # the end

    def _end(self) -> None:
        """Read the traceback, if there is one, and the prompt."""
        error = bytearray(self._heard)
        while _EOT not in error:
            data = self._wire.read(LIMIT_S)
            if not data:
                raise Broken(self._wire.name, "the receiver did not end")
            error += data
        text, _, rest = bytes(error).partition(b"\x04")
        while b">" not in rest:
            data = self._wire.read(LIMIT_S)
            if not data:
                raise Broken(self._wire.name, "no prompt after the receiver")
            rest += data
        self._heard.clear()
        if text:
            raise self._failure(text.decode("utf-8", "replace"))

    def _failure(self, traceback: str) -> Error:
        name = self._wire.name
        last = traceback.strip().rpartition("\n")[2]
        words = set(re.findall(r"\w+", last))
        if words & _FULL:
            return Error(
                f"the filesystem of the board on {name} is full",
                hint="delete files of your own from it and run the same command again; its old"
                " files are whole",
            )
        if words & _READ_ONLY:
            return Error(
                f"the filesystem of the board on {name} cannot be written from its REPL",
                hint="the computer has it as a drive: copy to the drive instead",
            )
        if "flash" in words:
            return Error(
                f"the flash of the board on {name} does not hold what was written to it",
                hint="run the same command again, then try another board; its old files are whole",
            )
        if words & _NOISY:
            return Noise(name)
        return failed(name, traceback)
