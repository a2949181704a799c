"""The command line: a table of commands, each loaded only when it is called.

Only this package prints and chooses the exit status (0 done, 1 the work failed, 2 usage).
"""

from __future__ import annotations

import importlib
import os
import signal
import sys

import click

from firmshake import __version__
from firmshake.errors import Error

# name of the command: one line of help, shown without importing the command
COMMANDS = {
    "init": "Make a project folder: fleet.toml, private CA, broker certificate, broker settings.",
    "provision": "Take one board from plugged in to proved.",
    "console": "Show a board's diagnostics live, explained.",
    "explain": "Explain a captured log, or standard input.",
    "doctor": "Climb the board's own ladder to a broker from this computer.",
    "virtual": "Run a virtual board on this computer.",
    "demo": "Show the whole road on a virtual board, with nothing to plug in.",
}


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"{__name__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="firmshake")
def firmshake() -> None:
    """Give each board its own TLS identity, flash it, and prove that it connects.

    Results go to standard output, all else to standard error. Exit status: 0 done, 1 the work
    failed, 2 wrong usage.
    """


def main() -> None:
    """Run the command line and exit with its status; no traceback for anything a user can cause."""
    # a polite kill cleans up as Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        firmshake.main(prog_name="firmshake", standalone_mode=False)
    except Error as error:
        _complain(error.message, error.hint)
        sys.exit(error.status)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output went away (`| head`): nothing more to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _complain(message: str, hint: str) -> None:
    click.echo(f"firmshake: {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
