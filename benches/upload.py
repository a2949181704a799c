"""What the fast road through a board's REPL takes, against `mpremote fs cp` of the same files.

Both write to the same virtual board, whose line is as slow as a real one, and which goes to the
speed in its boot.py. Not in it: what opening the port takes over RFC 2217, and mpremote's own
start; nor the time that a real flash chip takes to erase, 45 ms a sector on common ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from firmshake import bundle, image, partitions, serialport
from firmshake.repl import upload
from firmshake.repl.rawrepl import RawRepl
from firmshake.repl.wire import Wire
from firmshake.virtual import VirtualBoard

BAUDS = (115200, 921600)
BITS_A_BYTE = 10
# The line alone takes a fifth of mpremote's time at 115200: that goal needs a faster line there
GOAL_TIMES = 5
GOAL_LIMIT = 1.3
REPEATS = 3

FILESYSTEM = partitions.Region(0x200000, 0x200000)

# As large as the real ones: EC P-256 keys and certificates hardly compress
IDENTITY = {"key.der": 121, "cert.der": 1000, "ca.der": 500, "settings.json": 300}

# mpremote has no option for the speed
MPREMOTE = """
import sys
from mpremote import commands, main
baud, plain = int(sys.argv.pop(1)), commands.SerialTransport
commands.SerialTransport = lambda device, baudrate: plain(device, baudrate=baud)
sys.exit(main.main())
"""

Work = Callable[[VirtualBoard, int, Mapping[str, bytes]], float]


def measure() -> dict[str, str]:
    """The figures by name."""
    files = bundle.agent_files()
    files |= {f"/firmshake/{name}": os.urandom(size) for name, size in IDENTITY.items()}
    packed = len(zlib.compress(b"".join(files.values()), 9))
    figures = {
        "a board's files": f"{sum(map(len, files.values()))} bytes in {len(files)} files",
        "compressed": f"{packed} bytes",
    }
    theirs = {}
    for baud in BAUDS:
        ours = _best(baud, files, _held)
        theirs[baud] = _with_board(baud, files, _mpremote)
        figures |= {
            f"upload, held at {baud} baud": f"{ours:.2f} s",
            f"mpremote fs cp at {baud} baud": f"{theirs[baud]:.2f} s",
            f"times faster, held at {baud}": f"{theirs[baud] / ours:.1f}",
            f"of the limit at {baud} (goal: within {GOAL_LIMIT})": (
                f"{ours * baud / packed / BITS_A_BYTE:.2f}"
            ),
        }
    slow = BAUDS[0]
    ours = _best(slow, files, _quickened)
    return figures | {
        f"upload at {slow} baud, as it is (goes to {upload.FAST_BAUD} meanwhile)": f"{ours:.2f} s",
        f"times faster at {slow} (goal: {GOAL_TIMES})": f"{theirs[slow] / ours:.1f}",
    }


def _best(baud: int, files: Mapping[str, bytes], work: Work) -> float:
    """What else runs on the computer only ever adds."""
    return min(_with_board(baud, files, work) for _ in range(REPEATS))


def _with_board(baud: int, files: Mapping[str, bytes], work: Work) -> float:
    """The seconds of `work` on a board that holds nothing but a boot.py for the speed."""
    boot = f"import machine\nmachine.UART(0, baudrate={baud})\n".encode()
    with VirtualBoard() as board:
        for run in image.build({"/boot.py": boot}, FILESYSTEM.block_count).at(FILESYSTEM.offset):
            board.flash.program(run.offset, run.data)
        board.press_reset()
        _until_ready(board, baud)
        return work(board, baud, files)


def _until_ready(board: VirtualBoard, baud: int) -> None:
    while board.baud != baud:
        time.sleep(0.01)
    with serialport.open_port(board.url, baud) as port:
        RawRepl(Wire(port)).enter()
        port.write(b"\x02")


def _held(board: VirtualBoard, baud: int, files: Mapping[str, bytes]) -> float:
    return _ours(board, baud, files, None)


def _quickened(board: VirtualBoard, baud: int, files: Mapping[str, bytes]) -> float:
    return _ours(board, baud, files, upload.FAST_BAUD)


def _ours(board: VirtualBoard, baud: int, files: Mapping[str, bytes], fast: int | None) -> float:
    with serialport.open_port(board.url, baud) as port:
        start = time.perf_counter()
        repl = RawRepl(Wire(port))
        repl.enter()
        upload.replace(repl, files, fast=fast)
        return time.perf_counter() - start


def _mpremote(board: VirtualBoard, baud: int, files: Mapping[str, bytes]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        for path, data in files.items():
            place = Path(folder + path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        roots = sorted({path.split("/")[1] for path in files})
        nothing = _seconds(board, baud, folder, "exec", "pass")
        return _seconds(board, baud, folder, "fs", "cp", "-r", *roots, ":") - nothing


def _seconds(board: VirtualBoard, baud: int, folder: str, *arguments: str) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-c", MPREMOTE, str(baud), "connect", board.url, *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
