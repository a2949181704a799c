"""The folder that stands for a drive: how it appears, and how it is asked who writes to it."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import pytest

from firmshake.virtual import drive as module
from firmshake.virtual.drive import Drive

FILES = {"boot_out.txt": b"Adafruit CircuitPython", "code.py": b"print()", "lib/one.py": b"1"}


def test_who_sees_what_it_is_known_by_sees_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "drive"
    seen: list[dict[str, bytes]] = []
    ordinary = Path.write_bytes

    def write(path: Path, data: bytes) -> int:
        for part in (b"", data):
            ordinary(path, part)
            seen.append({name: (folder / name).read_bytes() for name in present(folder)})
        return len(data)

    monkeypatch.setattr(Path, "write_bytes", write)
    Drive(folder).show(FILES)
    assert len(seen) == 6
    assert not [found for found in seen if "boot_out.txt" in found and found != FILES]
    assert {name: (folder / name).read_bytes() for name in present(folder)} == FILES


def present(folder: Path) -> list[str]:
    return [name for name in FILES if (folder / name).exists()]


@pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="this system has no leases")
def test_who_opens_a_file_while_it_is_looked_at_ends_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"whole")
    came: list[int] = []
    before = signal.signal(signal.SIGIO, lambda number, frame: came.append(number))
    ordinary = fcntl.fcntl

    def meanwhile(descriptor: int, command: int, argument: int) -> int:
        done = ordinary(descriptor, command, argument)
        if (command, argument) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
            with pytest.raises(BlockingIOError):
                os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        return done

    try:
        monkeypatch.setattr(fcntl, "fcntl", meanwhile)
        assert not module._is_open_for_writing(path)
        assert came == []
    finally:
        signal.signal(signal.SIGIO, before)
    with path.open("ab"):
        assert module._is_open_for_writing(path)
