"""What an export's README says to type, typed: its commands as they stand, in a real shell."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from firmshake import tools
from support import desk

LIMIT_S = 120.0


def commands(readme: Path, beginning: str) -> list[str]:
    """The commands of the step or note whose first line holds `beginning`."""
    lines = [*readme.read_text().splitlines(), ""]
    (first,) = (number for number, line in enumerate(lines) if beginning in line)
    block = lines[first : lines.index("", first)]
    indent = " " * (5 if block[0][:1].isdigit() else 2)
    return [line.removeprefix(indent) for line in block if line.startswith(indent)]


class Shell:
    """A shell in which an ordinary user may play root, and nobody is there to be asked."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        passphrase = folder / "passphrase"
        passphrase.write_bytes(desk.PASSPHRASE + b"\n")
        firmshake = shlex.join([sys.executable, "-P", "-m", "firmshake"])
        sure = 'case "$2" in revoke) set -- "$@" --yes;; esac'
        self._program(
            "firmshake", f'{sure}; exec {firmshake} "$@" --passphrase-fd 3 3<{passphrase}'
        )
        self._program("mosquitto_rr", f'exec {shlex.join(tools.mosquitto_client("rr"))} "$@"')
        self._program("sudo", 'exec "$@"')
        self._program("chown", "exit 0")  # the broker's user is not on every computer

    def __call__(self, *typed: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Type the commands in the folder `cwd`, up to the first that fails."""
        return subprocess.run(
            ["sh", "-ec", "\n".join(typed)],
            cwd=cwd,
            env={**os.environ, "PATH": f"{self._folder}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def _program(self, name: str, text: str) -> None:
        path = self._folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


def check_trial(readme: Path, shell: Shell, project: Path) -> None:
    """Do what the README says of trying the broker out; see that it is as the README says."""
    issue, own, other, *end = commands(readme, "Try it, where the project")
    made = shell(issue, cwd=project)
    assert made.returncode == 0, made.stderr
    heard = shell(own, cwd=project)
    assert (heard.returncode, heard.stdout) == (0, "hello\n"), heard.stderr
    refused = shell(other, cwd=project)
    assert refused.returncode != 0
    assert refused.stdout == ""
    ended = shell(*end, cwd=project)
    assert ended.returncode == 0, ended.stderr
    assert not (project / "trial").exists()
