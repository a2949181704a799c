"""A program in a terminal of its own: what it prints there, what is typed, how it leaves it."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from typing import Any

LIMIT_S = 60  # only a broken test waits so long
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BEGUN = re.compile(r"(?:\x1b(?:\[[0-9;]*)?)?\Z")


class Screen:
    """A program that has a pseudo-terminal as its controlling terminal."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        rows: int = 32,
        columns: int = 80,
        environment: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        self._screen, self._end = pty.openpty()
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self._end)
        self.text = ""  # without its colours
        self._begun = ""  # a sequence that may go on
        # a character may come in two parts
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._read = 0
        self.process = subprocess.Popen(
            command,
            stdin=self._end,
            stdout=self._end,
            stderr=self._end,
            env={**os.environ, "TERM": "xterm-256color", **(environment or {})},
            preexec_fn=lambda: os.login_tty(0),
            **more,
        )

    @property
    def modes(self) -> list[Any]:
        """The terminal's modes, as `before` was."""
        return termios.tcgetattr(self._end)

    def type(self, keys: str) -> None:
        os.write(self._screen, keys.encode())

    def wait_for(self, text: str) -> str:
        """What was printed up to this, from where the last wait ended."""
        while (found := self.text.find(text, self._read)) < 0:
            assert select.select([self._screen], [], [], LIMIT_S)[0], self.text
            self._take()
        end = found + len(text)
        said, self._read = self.text[self._read : end], end
        return said

    def end(self) -> int:
        """The exit status, once the program has ended; what it prints on its way is read."""
        while self.process.poll() is None or self._says_more():
            if self._says_more():
                self._take()
        return self.process.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)
        os.close(self._end)

    def _says_more(self) -> bool:
        return bool(select.select([self._screen], [], [], 0.05)[0])

    def _take(self) -> None:
        said = self._begun + self._decoder.decode(os.read(self._screen, 4096))
        self._begun = _BEGUN.search(said)[0]  # type: ignore[index]
        self.text += _COLOUR.sub("", said.removesuffix(self._begun))


def firmshake(*arguments: str, **more: Any) -> Screen:
    """`firmshake ARGUMENTS...` in a terminal."""
    return Screen([sys.executable, "-m", "firmshake", *arguments], **more)
