"""The command `firmshake`, a group of those in the table of commands."""

from __future__ import annotations

import click

from firmshake import __version__
from firmshake.cli import COMMANDS
from firmshake.cli.lazygroup import LazyGroup


@click.group(
    cls=LazyGroup,
    package=__package__,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="firmshake")
def firmshake() -> None:
    """Give each board its own TLS identity, flash it, and prove that it connects.

    Results go to standard output, all else to standard error. Exit status: 0 done, 1 the work
    failed, 2 wrong usage.
    """
