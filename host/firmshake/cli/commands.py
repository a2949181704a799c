"""The table of commands as a click group: each is a module, loaded only when it is called."""

from __future__ import annotations

import importlib

import click

from firmshake import __version__
from firmshake.cli import COMMANDS


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"{__package__}.{cmd_name}").command
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
