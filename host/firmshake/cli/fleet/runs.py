"""Which run a command is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from firmshake.errors import Error

if TYPE_CHECKING:
    from firmshake.registry import Registry, RunRecord

run_argument = click.argument("run", type=int, required=False)


def wanted_run(registry: Registry, number: int | None) -> RunRecord:
    """Return the run of that number, by itself the last one; raise Error where there is none."""
    if number is not None:
        return registry.run(number)
    last = registry.last_run(unfinished=False)
    if last is None:
        raise Error("there was no run yet", hint="begin one: firmshake fleet run")
    return last
