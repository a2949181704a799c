"""Many virtual boards, the real esptool and MicroPython, a real broker: `firmshake fleet run`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import desk, fleetdesk
from support.fleetdesk import Bench

BOARDS = 4


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = desk.make_project(tmp_path / "fleet")
    with desk.broker(made), fleetdesk.bench(made, tmp_path / "runtime", BOARDS) as found:
        yield found


def test_every_board_becomes_a_device_of_its_own(bench: Bench) -> None:
    done = bench.run("run", "--count", str(BOARDS), "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    devices = bench.devices()
    assert [device.state for device in devices] == ["proved"] * BOARDS
    assert {device.unique_id for device in devices} == {
        ":".join(one["unique_id"][at : at + 2] for at in range(0, 12, 2)) for one in bench.boards
    }
    serials = {device.certificate.serial_number for device in devices if device.certificate}
    assert len(serials) == BOARDS
    fleetdesk.accounts(bench.registry, devices)

    # the second time every board is known, and nothing is issued
    again = bench.run("run", "--count", str(BOARDS), "--json")
    assert again.returncode == 0, again.stderr + again.stdout
    assert [one.certificate for one in bench.devices()] == [one.certificate for one in devices]
