"""Makes `.venv`: a virtual environment with the pinned packages and firmshake itself, editable.

No index address is ever passed to pip: the machine's own settings decide where packages come from.
Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from progress import complaint, say

# the MicroPythons whose modules the agent is held against
STUBS = ("esp32", "rp2")

NO_PACKAGES = (
    "check the network and pip's settings (`.venv/bin/python -m pip config list`), then repeat; "
    "what is there already is not fetched again"
)


def provide(source: Path, folder: Path, pip_wheel: Callable[[], Path]) -> None:
    """Make or bring up to date the environment in `folder` for the checkout `source`.

    `pip_wheel` gets pip where this Python comes without. Raises Error if a step fails.
    """
    python = folder / "bin" / "python"
    identity = folder / ".python"
    made_for = identity.read_text() if identity.is_file() and python.exists() else ""
    if made_for != python_identity(folder):
        say(f"making .venv with Python {sys.version.split()[0]}")
        _make(folder, pip_wheel)
        identity.write_text(python_identity(folder))
    say("installing the pinned packages (about 60 MB the first time)")
    _pip(str(python), "-r", str(source / "requirements" / "build.txt"))
    _pip(str(python), "--no-build-isolation", "-r", str(source / "requirements" / "dev.txt"))
    for board in STUBS:
        # their modules have the names of Python's own: beside each other, and out of its sight
        target = ("--upgrade", "--target", str(folder / "stubs" / board))
        _pip(str(python), *target, "-r", str(source / "requirements" / f"stubs-{board}.txt"))
    say("installing firmshake from this folder")
    _pip(str(python), "--no-build-isolation", "--editable", str(source))


def python_identity(folder: Path) -> str:
    """What an environment is bound to: its own place, and the Python that it was made with."""
    major, minor = sys.version_info[:2]
    return f"{folder}\n{sys.executable}\n{major}.{minor}\n"


def _make(folder: Path, pip_wheel: Callable[[], Path]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if importlib.util.find_spec("ensurepip"):
        _run("venv", [sys.executable, "-m", "venv", str(folder)])
        return
    # Debian and Ubuntu keep ensurepip in a package of its own
    wheel = pip_wheel()
    _run("venv", [sys.executable, "-m", "venv", "--without-pip", str(folder)])
    # a wheel is a zip file, and pip runs from inside its own
    command = [str(folder / "bin" / "python"), str(wheel / "pip"), "install", "--no-index"]
    _run("pip", [*command, "--quiet", str(wheel)])


def _pip(python: str, *arguments: str) -> None:
    common = ("--disable-pip-version-check", "--quiet", "--no-input", "--no-deps")
    _run("pip", [python, "-m", "pip", "install", *common, *arguments])


def _run(name: str, command: list[str]) -> None:
    done = subprocess.run(
        command,
        # a user's own setting to install beside the system's packages has no place in here
        env={**os.environ, "LC_ALL": "C.UTF-8", "PIP_USER": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise complaint(name, done.stderr, ("ERROR",), NO_PACKAGES)
