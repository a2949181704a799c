"""The option of how long a board may take to prove itself."""

from __future__ import annotations

import click

from firmshake.cli.parameters import Seconds
from firmshake.proof import PROOF_S

# nobody waits for a board longer than a day
LONGEST_S = 86400

proof_time = click.option(
    "--timeout",
    type=Seconds(min=1, max=LONGEST_S),
    default=PROOF_S,
    show_default=True,
    metavar="SECONDS",
    help="How long a board may take to prove itself.",
)
