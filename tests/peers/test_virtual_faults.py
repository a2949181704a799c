"""Each fault of a virtual board at the real tool, with the control that has no fault."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from support import boardtools, uf2
from support.boardtools import wait_until

from firmshake.virtual import Cut, Faults, VirtualBoard, rp2

PATIENCE_S = 120
NO_STUB = ["--chip", "esp32", "--no-stub"]


def esptool(board: VirtualBoard, *arguments: str) -> subprocess.CompletedProcess[str]:
    return boardtools.esptool(board.raw_url, *arguments)


def mpremote(board: VirtualBoard, *arguments: str, works: bool) -> subprocess.CompletedProcess[str]:
    """With pyserial's own pauses too, and where it works not with its short patience."""
    patience = f"?timeout={boardtools.PATIENCE_S}" if works else ""
    return subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.url + patience, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def loader(faults: Faults) -> VirtualBoard:
    return VirtualBoard(boot_held=True, raw_port=0, faults=faults)


@pytest.mark.parametrize("stub", [[], ["--no-stub"]], ids=["stub", "rom"])
@pytest.mark.parametrize("percent", [0, 37, 100])
def test_unplugged_at_a_share_of_the_flash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, percent: int, stub: list[str]
) -> None:
    monkeypatch.setenv("ESPTOOL_CFGFILE", boardtools.impatient(tmp_path))
    data = tmp_path / "data"
    data.write_bytes(random.Random(1).randbytes(40_000))
    command = ["--chip", "esp32", "--baud", "921600", *stub, "write-flash", "0x200000", str(data)]
    with loader(Faults(unplug_at=Cut(share=percent / 100))) as board:
        assert esptool(board, *command).returncode != 0
        assert not board.is_plugged
        whole = data.read_bytes()
        there = 400 * percent
        assert board.flash.read(0x200000, there) == whole[:there]
        assert board.flash.read(0x200000 + there, 16) in (b"\xff" * 16, b"")
        assert "Connection refused" in esptool(board, *command).stdout
        # it happens once: the same command again is the control
        board.replug()
        again = esptool(board, *command)
        assert again.returncode == 0, again.stdout
        assert board.flash.read(0x200000, 40_000) == whole
        board.break_again()
        board.press_reset()
        assert esptool(board, *command).returncode != 0


def test_unplugged_after_so_many_bytes_of_the_repl_it_comes_back_by_itself(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(random.Random(1).randbytes(5000))
    faults = Faults(unplug_at=Cut(count=3000))
    with VirtualBoard(faults=faults, replug_after_s=0.5) as board:
        boardtools.settled(board.url)
        failed = mpremote(board, "fs", "cp", str(source), ":/copied", works=False)
        assert failed.returncode != 0
        assert board.received == 3000
        wait_until(lambda: board.is_shown)
        boardtools.settled(board.url)
        again = mpremote(board, "fs", "cp", str(source), ":/copied", works=True)
        assert again.returncode == 0, again.stdout
        assert "5000 copied" in mpremote(board, "fs", "ls", ":/", works=True).stdout


@pytest.mark.parametrize(("faults", "told"), [(Faults(flash_size=2 << 20), 2), (Faults(), 4)])
def test_the_flash_claims_another_size(faults: Faults, told: int) -> None:
    with loader(faults) as board:
        found = esptool(board, *NO_STUB, "flash-id")
    assert f"Detected flash size: {told}MB" in found.stdout


@pytest.mark.parametrize(("faults", "answers"), [(Faults(dead_repl=True), False), (Faults(), True)])
def test_a_repl_that_never_answers(faults: Faults, answers: bool) -> None:
    with VirtualBoard(faults=faults) as board:
        if answers:
            boardtools.settled(board.url)
        ran = mpremote(board, "exec", "print(6 * 7)", works=answers)
    assert (ran.returncode == 0) == answers
    assert ("42" in ran.stdout) == answers
    assert answers or "could not enter raw repl" in ran.stdout


@pytest.mark.parametrize(("faults", "passes"), [(Faults(noise=0.002), False), (Faults(), True)])
def test_a_line_with_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: Faults, passes: bool
) -> None:
    if not passes:
        # with its own limits: it waits for what never comes
        monkeypatch.delenv("ESPTOOL_CFGFILE")
    with loader(faults) as board:
        back = tmp_path / "back"
        ran = esptool(board, "--chip", "esp32", "read-flash", "0x10000", "20000", str(back))
        assert (ran.returncode == 0) == passes, ran.stdout
        assert (back.exists() and back.read_bytes() == board.flash.read(0x10000, 20000)) == passes


@pytest.mark.parametrize(("faults", "lasts"), [(Faults(reboot_loop=True), False), (Faults(), True)])
def test_firmware_that_starts_again_and_again(faults: Faults, lasts: bool) -> None:
    with VirtualBoard(faults=faults) as board, boardtools.console(board.url) as port:
        if lasts:
            boardtools.at_prompt(port)
            port.write(b"\x01import time; time.sleep(3); print('lasted')\x04")
            assert b"rst:" not in boardtools.read_until(port, b"OKlasted")
        else:
            for _ in range(3):
                boardtools.read_until(port, b"rst:0xc")


def test_a_board_that_starts_again_and_again_is_still_flashed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"firm" * 1000)
    with VirtualBoard(faults=Faults(reboot_loop=True)) as board:
        boardtools.done(board.url, "write-flash", "0x200000", str(data))


@pytest.mark.parametrize(("faults", "free"), [(Faults(busy=True), False), (Faults(), True)])
def test_a_port_that_another_program_holds(faults: Faults, free: bool) -> None:
    with VirtualBoard(faults=faults) as board:
        if free:
            boardtools.settled(board.url)
        ran = mpremote(board, "exec", "print(6 * 7)", works=free)
    assert (ran.returncode == 0) == free, ran.stdout


@pytest.mark.parametrize(("faults", "answers"), [(Faults(slow=4000), False), (Faults(), True)])
def test_a_line_that_is_slow_beyond_patience(faults: Faults, answers: bool) -> None:
    with VirtualBoard(faults=faults, faster_than_life=True) as board:
        if answers:
            boardtools.settled(board.url)
        ran = mpremote(board, "exec", "print(6 * 7)", works=answers)
    assert (ran.returncode == 0) == answers, ran.stdout


# drives: they are mounted where no other process sees them

_ON_A_DRIVE = """
"$@" &
until test -e "$DRIVE/INFO_UF2.TXT" -o -e "$DRIVE/boot_out.txt"; do sleep 0.1; done
test -z "$LOCKED" || until test ! -w "$DRIVE"; do sleep 0.05; done
cp "$FILE" "$DRIVE/new" && echo copied
kill -TERM $!
wait $!
test -e "$DRIVE" || echo gone
"""


def copied_to(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "file.uf2"
    # of another chip: it stays a drive
    file.write_bytes(uf2.file(bytes(100_000), family=rp2.RP2350_ARM_S))
    within = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.getuid() else [])]
    drive = tmp_path / "drive"
    # its own files come before it is locked
    locked = "yes" if "read-only-drive" in options else ""
    virtual = [sys.executable, "-m", "firmshake", "virtual", "--drive", str(drive), *options]
    return subprocess.run(
        [*within, "sh", "-c", _ON_A_DRIVE, "sh", *virtual],
        env={**os.environ, "DRIVE": str(drive), "FILE": str(file), "LOCKED": locked},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


BOARDS = [["--board", "pico-w"], ["--board", "pico-w", "--circuitpython"]]


@pytest.mark.parametrize("board", BOARDS, ids=["pico", "circuitpython"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("full-drive", "No space left on device"),
        ("read-only-drive", "Read-only file system"),
        (None, "copied"),
    ],
)
def test_a_drive_that_takes_nothing(
    tmp_path: Path, board: list[str], fault: str | None, said: str
) -> None:
    ran = copied_to(tmp_path, *board, *(["--fault", fault] if fault else []))
    assert said in ran.stdout
    assert ("copied" in ran.stdout) == (fault is None)
    assert "Traceback" not in ran.stdout
    assert "gone" in ran.stdout
