"""`firmshake ca profiles`: the certificate profiles that firmshake has, to make one's own from."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Print the certificate profiles that `firmshake init` takes where it is given none.

    Each value stands there with its reason. Change what you need, and give the file to `firmshake
    init --profiles`; in a project that is there already, change its profiles.toml, which counts
    for what is issued from then on.
    """
    from firmshake.ca import profiles

    click.echo(profiles.text(), nl=False)
