"""Runs a command and tells which of its descendants outlived it, however they detached themselves.

`python reaper.py COMMAND...`: the first line of standard output is the command's process id; it
leads a session of its own. The last is JSON: its `status`, and the command lines of those `left`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h: orphans below us become our children
# To die in, for what was killed: on a busy machine it may have to wait for its turn to do so
_GRACE_S = float(os.environ.get("REAPER_GRACE_S", "5"))


def main() -> None:
    """Run the command, and print what is left of it."""
    assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    # in a job in the background, Ctrl-C is ignored, and so it would be by the command
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    process = subprocess.Popen(sys.argv[1:], start_new_session=True)
    _say(str(process.pid))
    status = process.wait()
    deadline = time.monotonic() + _GRACE_S
    while (left := _children()) and time.monotonic() < deadline:
        time.sleep(0.02)
    _say("\n" + json.dumps({"status": status, "left": left}))
    for pid in left:
        os.kill(int(pid), 9)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _children() -> dict[str, str]:
    """Our children that run, with their command lines; the dead ones are buried."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return {}
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {pid: Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in pids}


if __name__ == "__main__":
    main()
