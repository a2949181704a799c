"""The README against the command itself."""

from pathlib import Path

import pytest

from firmshake.cli import COMMANDS
from firmshake.cli.ca import COMMANDS as OF_THE_CA

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", [*COMMANDS, *(f"ca {name}" for name in OF_THE_CA)])
def test_every_command_has_its_row(name: str) -> None:
    rows = [line for line in README.splitlines() if line.startswith("| `firmshake ")]
    assert name == "ca" or any(f"`firmshake {name}" in row for row in rows)
