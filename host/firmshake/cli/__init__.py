"""The command line: it prints, and chooses the exit status (0 done, 1 the work failed, 2 usage).

Only this package does either. Little is imported here, so that Ctrl-C is taken care of from the
first moments on.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import os
import sys

from firmshake import interrupts
from firmshake.errors import Error

# name of the command: one line of help, shown without importing the command
COMMANDS = {
    "init": "Make a project folder: fleet.toml, private CA, broker certificate, broker settings.",
    "ca": "The private CA: issue, revoke, renew, audit, export for brokers and clouds.",
    "boards": "List the boards that are plugged in, by chip and unique id.",
    "provision": "Take one board from plugged in to proved.",
    "fleet": "Many boards at once: run a manifest, watch them go green, report.",
    "registry": "Where the fleet's books are kept: show, upgrade, move to PostgreSQL.",
    "firmware": "Keep firmware for the boards: add a file, list them, fetch one.",
    "console": "Show a board's diagnostics live, explained.",
    "explain": "Explain a captured log, or standard input.",
    "doctor": "Climb the board's own ladder to a broker from this computer.",
    "inspect": "Say what a key, certificate, image or folder is, and what is wrong with it.",
    "bundle": "Put what others need to help into one archive, without secrets.",
    "faults": "Serve a broker that fails on purpose, to try any client against.",
    "virtual": "Run a virtual board on this computer.",
    "demo": "Show the whole road on a virtual board, with nothing to plug in.",
}

_SPACE = "free some space, then run the same command again"
_LIMIT = "close other programs or raise this limit, then run the same command again"
_RIGHTS = "check who may write there, then run the same command again"
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _SPACE),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN), _LIMIT),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
}

# Python looks through its objects for what nobody needs at each 700 new ones. What a command loads
# are up to 80,000, nearly all of which stay to the end
_OBJECTS = 100_000

# a shell's own way to tell that a program was ended by a signal
_BY_SIGNAL = 128


def main() -> None:
    """Run the command line and exit with its status; no traceback for anything a user can cause."""
    gc.set_threshold(_OBJECTS)
    # and not at the end, when all go
    atexit.register(gc.freeze)
    # nor is anything interrupted while Python shuts down
    atexit.register(interrupts.ignore_all)
    try:
        with interrupts.taken():
            status = _status()
    except interrupts.Interrupted as error:
        # before the work had begun, or when it was done
        status = _interrupted(error)
    sys.exit(status)


def _status() -> int:
    try:
        status = _run()
        _flush()
    except interrupts.Interrupted as error:
        status = _interrupted(error)
    except Error as error:
        _complain(error.message, error.hint)
        status = error.status
    except BrokenPipeError:
        status = 1  # the reader of our output went away (`| head`): nobody is left to tell
    except OSError as error:
        _complain(*_of_the_system(error))
        status = 1
    _give_up_output()
    return status


def _interrupted(error: interrupts.Interrupted) -> int:
    _complain("interrupted", "")
    return _BY_SIGNAL + error.number


def _run() -> int:
    """Run the command that the arguments name: its exit status."""
    import click

    from firmshake.cli.commands import firmshake

    try:
        status = firmshake.main(prog_name="firmshake", standalone_mode=False)
    except SystemExit as leave:
        status = leave.code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except click.Abort as abort:
        # what click makes of Ctrl-C, and of a prompt that gets no answer
        cause = abort.__cause__ or abort.__context__
        if isinstance(cause, interrupts.Interrupted):
            raise cause from None
        raise Error("no answer was given", hint="run the command again and type one") from None
    return status if isinstance(status, int) else 0


def _complain(message: str, hint: str) -> None:
    from firmshake.wording import printable

    # names of files, and from certificates, may hold what steers a terminal
    lines = [f"firmshake: {printable(message)}", *([f"  {printable(hint)}"] if hint else [])]
    with contextlib.suppress(OSError):
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def _of_the_system(error: OSError) -> tuple[str, str]:
    """What the system refused, and what to do."""
    what = (error.strerror or str(error)).lower()
    if error.filename is not None:
        what = f"{error.filename}: {what}"
    return what, _REMEDIES.get(error.errno or 0, "please report it if it comes back")


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _give_up_output() -> None:
    """Let go of an output that takes nothing, about which Python would complain at the end."""
    try:
        _flush()
    except OSError:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
