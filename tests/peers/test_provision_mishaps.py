"""What goes wrong while `firmshake provision` works is said, and the next try finds no traces."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import busyport, desk
from support.desk import Notes

from firmshake import serialport
from firmshake.errors import Error
from firmshake.event import Event
from firmshake.project import Project
from firmshake.registry import Registry
from firmshake.virtual import VirtualBoard, Wifi, standin_firmware
from firmshake.ways.choose import Wish

AIR = Wifi(desk.SHED.ssid, desk.SHED.password)


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return desk.make_project(tmp_path / "fleet")


@pytest.fixture
def board() -> Iterator[VirtualBoard]:
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:
        yield board


def states(made: Project) -> list[tuple[str, str | None]]:
    registry = Registry.open(made.registry_path)
    return [(device.state, device.verdict) for device in registry.devices()]


class Unplugging(Notes):
    """Pulls the cable in the middle of the write, or at the board's first event."""

    def __init__(self, board: VirtualBoard, while_written: bool) -> None:
        super().__init__()
        self._board, self._while_written = board, while_written

    def writing(self, done: int, total: int) -> None:
        super().writing(done, total)
        if self._while_written and done < total:
            self._board.unplug()

    def event(self, event: Event) -> None:
        self._board.unplug()


@pytest.mark.parametrize("while_written", [True, False])
def test_a_board_taken_away_is_told_and_done_again(
    made: Project, board: VirtualBoard, while_written: bool
) -> None:
    with pytest.raises(Error) as caught:
        desk.provisioned(made, Wish(board.url), Unplugging(board, while_written))
    # its port had been closed by then, or not
    ends = (f"the board on {board.url} went away", f"nothing serves a port at {board.url}")
    assert caught.value.message.startswith(ends)
    assert caught.value.hint
    assert states(made) == [("failed", "write/not_done" if while_written else "proof/not_done")]
    if while_written:
        board.replug()
        with desk.broker(made):
            again = desk.provisioned(made, Wish(board.url), Notes())
        assert again.verdict.ok
        assert states(made) == [("proved", "ready")]


def test_a_port_that_another_program_has(made: Project, board: VirtualBoard) -> None:
    with serialport.open_port(board.url):
        done = desk.firmshake("provision", board.url, cwd=made.root)
    what, hint = desk.complaint(done)
    assert what == f"what serves {board.url} does not answer as a serial port"
    assert "close the program that has it open" in hint
    assert states(made) == []


def test_a_device_that_another_program_has(made: Project, tmp_path: Path) -> None:
    with busyport.held(tmp_path) as (port, _):
        done = desk.firmshake("provision", port, cwd=made.root)
    what, _ = desk.complaint(done)
    assert what.startswith(f"{port} is busy")
    assert states(made) == []


# a disk and a user that may not write


def a_full_disk(folder: Path) -> list[str]:
    """The command to start another with `folder` on a disk that has no room left."""
    script = (
        'cp -a "$0" "$0.kept" && mount -t tmpfs -o size=256k tmpfs "$0" && cp -a "$0.kept/." "$0/"'
        ' && { cat /dev/zero > "$0/fill" 2> /dev/null; cd "$0" && exec "$@"; }'
    )
    unshare = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "-Ur"]
    return [*unshare, "sh", "-c", script, str(folder)]


def without_privileges(folder: Path) -> list[str]:
    """The command to start another that may not do what the modes of its own files forbid."""
    if os.getuid():
        return []
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]


def test_a_full_disk_is_told_before_a_byte_is_written(made: Project, board: VirtualBoard) -> None:
    before = bytes(board.flash)[:0x200000]
    done = desk.firmshake("provision", board.url, cwd=made.root, within=a_full_disk(made.root))
    what, hint = desk.complaint(done)
    assert what == "the registry registry.sqlite is on a full disk"
    assert "make room" in hint
    assert bytes(board.flash)[:0x200000] == before
    assert states(made) == []


@pytest.mark.parametrize("name", [".", "registry.sqlite"])
def test_a_registry_that_may_not_be_written(made: Project, board: VirtualBoard, name: str) -> None:
    path = made.root / name
    mode = path.stat().st_mode
    path.chmod(mode & ~0o222)
    try:
        done = desk.firmshake(
            "provision", board.url, cwd=made.root, within=without_privileges(made.root)
        )
    finally:
        path.chmod(mode)
    what, hint = desk.complaint(done)
    assert what == "the registry registry.sqlite is not writable"
    assert "allow this user" in hint
    assert states(made) == []


def test_a_limit_on_the_size_of_files(made: Project, tmp_path: Path) -> None:
    """The registry can still be written, what esptool is to be given cannot."""
    file = tmp_path / "firmware.bin"
    file.write_bytes(standin_firmware() + bytes(1 << 18))
    size = made.registry_path.stat().st_size
    assert file.stat().st_size > size + 8192
    limit = ["prlimit", f"--fsize={size + 8192}"]
    with VirtualBoard(wifi=AIR, blank=True, faster_than_life=True) as board:
        words = ("provision", board.url, "--firmware", str(file))
        done = desk.firmshake(*words, cwd=made.root, within=limit)
    assert desk.complaint(done) == (
        "file too large",
        "free some space, then run the same command again",
    )
    assert states(made) == [("failed", "write/not_done")]


def test_an_output_that_is_full(made: Project, board: VirtualBoard) -> None:
    with desk.broker(made), desk.typed() as fd, open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "firmshake", "provision", board.url, "--passphrase-fd", str(fd)],
            cwd=made.root,
            stdout=full,
            stderr=subprocess.PIPE,
            pass_fds=[fd],
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "firmshake: no space left on device",
        "  free some space, then run the same command again",
    ]
    assert "Exception ignored" not in done.stderr
    assert states(made) == [("proved", "ready")]


# a board that says no


def test_a_program_that_fails_on_the_board_is_shown_with_its_words(
    made: Project, board: VirtualBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from firmshake import bundle

    broken = bundle.agent_files() | {"/main.py": b"import no_such_module\n"}
    monkeypatch.setattr(bundle, "agent_files", lambda: dict(broken))
    notes = Notes()
    with pytest.raises(Error) as caught:
        desk.provisioned(made, Wish(board.url), notes)
    assert "no_such_module" in caught.value.message
    assert states(made) == [("failed", "proof/not_done")]


def test_why_it_failed_is_told_also_where_that_cannot_be_noted(
    made: Project, board: VirtualBoard
) -> None:
    class Burning(Notes):
        def event(self, event: Event) -> None:
            with contextlib.suppress(FileNotFoundError):
                made.registry_path.unlink()
            board.unplug()

    with pytest.raises(Error, match="went away"):
        desk.provisioned(made, Wish(board.url), Burning())
    shutil.rmtree(made.root)
