"""Hands bytes to a child process as files that never exist on a disk, and takes one back.

A device's private key is in the bytes that esptool writes, and Wi-Fi passwords may be in those that
it reads, so neither may land in a temporary file. On Linux they are anonymous files in memory,
which the child opens under /proc/self/fd; they can be sought in, as esptool requires, which a pipe
cannot. Other systems have nothing of the kind that a child can open by name: there the bytes go
through the child's standard input, and `recall` answers its `open` with them.
"""

from __future__ import annotations

import base64
import builtins
import contextlib
import io
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

HAS_MEMFD = hasattr(os, "memfd_create")

_NAME = "memory:{}"
_OUTLET = "memory:outlet"
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Offer:
    """How a child process is started so that it finds the files.

    `names` are the files that it may open, `outlet` the one that it may write. `fds` it inherits,
    and `stdin` is written to it; where it `must_recall`, it calls `recall` first.
    """

    names: tuple[str, ...]
    outlet: str
    fds: tuple[int, ...]
    stdin: bytes = field(repr=False)
    must_recall: bool

    def received(self, output: str) -> bytes:
        """What the child wrote to `outlet`, given all of its standard output."""
        if self.fds:
            return os.pread(self.fds[-1], os.fstat(self.fds[-1]).st_size, 0)
        for line in output.splitlines():
            if line.startswith(_OUTLET):
                return base64.b64decode(line.removeprefix(_OUTLET))
        return b""


@contextlib.contextmanager
def offered(contents: Sequence[bytes], memfd: bool = HAS_MEMFD) -> Iterator[Offer]:
    """Offer `contents` to a child process; the files are gone when the context ends."""
    if not memfd:
        names = tuple(_NAME.format(number) for number in range(len(contents)))
        yield Offer(names, _OUTLET, (), pack(contents), must_recall=True)
        return
    with contextlib.ExitStack() as stack:
        fds = [_in_memory(data, stack) for data in (*contents, b"")]
        *files, outlet = (f"/proc/self/fd/{fd}" for fd in fds)
        yield Offer(tuple(files), outlet, tuple(fds), b"", must_recall=False)


def recall(stream: BinaryIO) -> None:
    """In the child: from here on, `open` answers the names that were offered.

    Raises EOFError where `stream` ends before all of the files did.
    """
    files = {_NAME.format(number): data for number, data in enumerate(unpack(stream))}
    ordinary_open = builtins.open

    def open_or_recall(file: Any, *rest: Any, **named: Any) -> Any:
        if file == _OUTLET:
            return _Outlet()
        if isinstance(file, str) and file in files:
            return _File(files[file], file)
        return ordinary_open(file, *rest, **named)

    builtins.open = open_or_recall


def pack(contents: Sequence[bytes]) -> bytes:
    """The contents, each behind its length: what `unpack` reads."""
    return b"".join(_LENGTH.pack(len(data)) + data for data in contents)


def unpack(stream: BinaryIO) -> list[bytes]:
    """What `pack` made. Raises EOFError where the stream ends too early."""
    contents = []
    while length := stream.read(_LENGTH.size):
        if len(length) < _LENGTH.size:
            raise EOFError
        size: int = _LENGTH.unpack(length)[0]
        data = stream.read(size)
        if len(data) < size:
            raise EOFError
        contents.append(data)
    return contents


def _in_memory(data: bytes, stack: contextlib.ExitStack) -> int:
    fd = os.memfd_create("firmshake", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return fd


class _File(io.BytesIO):
    """Bytes that have a name, as an opened file has."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


class _Outlet(io.BytesIO):
    """A file to write whose bytes go to standard output, as one line, when it is closed."""

    def close(self) -> None:
        if not self.closed:
            sys.stdout.write(_OUTLET + base64.b64encode(self.getvalue()).decode() + "\n")
            sys.stdout.flush()
        super().close()
