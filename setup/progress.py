"""How setting up talks: one plain line for each step, and one reason and one remedy for a stop."""

from __future__ import annotations

import errno
import sys

from firmshake.errors import Error

# what apt, dpkg, tar and pip say, in the C locale, when there is no room
FULL_DISK = ("No space left on device", "enough free space")


def say(text: str) -> None:
    """Tell what is being done, on standard error: standard output belongs to the command."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def stop(message: str, hint: str) -> None:
    """Tell what failed and what to do next."""
    print(f"setup: {message}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr, flush=True)


def complaint(program: str, output: str, marks: tuple[str, ...], hint: str) -> Error:
    """What to raise for a program that failed: the first line of its complaints that bears a mark.

    The whole output may be long; `hint` is what to do unless the disk is full.
    """
    if any(words in output for words in FULL_DISK):
        return disk_full(program)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    chosen = next((line for line in lines if line.startswith(marks)), lines[-1] if lines else "")
    return Error(f"{program} failed: {chosen or 'it did not say why'}", hint)


def disk_full(what: str) -> Error:
    """The error for a disk without room."""
    return Error(f"{what} failed: the disk is full", "make about 400 MB of room, then repeat")


def fault(error: OSError, place: str) -> Error:
    """The error for a file or folder that the system refuses to make, read or write."""
    if error.errno == errno.ENOSPC:
        return disk_full("setting up")
    return Error(
        f"cannot write {error.filename or place}: {error.strerror}",
        "let your user write there, or work in a copy of this folder of your own",
    )
