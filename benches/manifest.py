"""What a manifest with a million lines costs to look through: CSV and TOML, right and wrong.

Measured as a command, `firmshake fleet check`, with its start and all of its memory.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import peak

MANY = 1_000_000
# of memory a device, with the index of ids that is gone at the end
GOAL_BYTES = 1024

_FLEET = 'name = "bench"\nprefix = "gh"\n[broker]\nhost = "broker.example"\n[wifi]\nssid = "shed"\n'
_HEADER = "id,unique_id,board,wifi.ssid,wifi.password\n"


def measure() -> dict[str, str]:
    """The figures by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "fleet.toml").write_text(_FLEET)
        return dict(_figure(folder, *each) for each in _MANIFESTS)


def _figure(
    folder: Path, label: str, name: str, head: str, row: Callable[[int], str], status: int
) -> tuple[str, str]:
    path = folder / name
    with path.open("w") as stream:
        stream.write(head)
        stream.writelines(map(row, range(MANY)))
    command = [sys.executable, "-P", "-m", "firmshake", "fleet", "check", "--json", str(path)]
    cost = peak.run(command, within=folder, status=status)
    size = path.stat().st_size
    path.unlink()
    assert cost.peak_bytes < MANY * GOAL_BYTES, (label, cost)
    return f"{MANY:,} {label}", f"{cost} for {size / 1e6:.0f} MB"


def _named(number: int) -> str:
    return f"pump-{number:07},{number:012x},esp32,site {number % 50},password {number % 50}\n"


def _table(number: int) -> str:
    return f'[[device]]\nid = "pump-{number:07}"\nunique_id = "{number:012x}"\n'


_MANIFESTS = (
    ("lines of CSV, each with its board", "named.csv", _HEADER, _named, 0),
    ("lines of CSV with a rule", "rule.csv", "id,board\n", lambda n: "p{number:07},esp32\n", 0),
    ("tables of TOML", "named.toml", '[defaults]\nboard = "esp32"\n', _table, 0),
    ("lines of CSV with an id each that is none", "wrong.csv", "id\n", lambda n: f"-{n}\n", 1),
)
