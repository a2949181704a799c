"""A bad network is never called a fault of TLS: packets are lost and late, and the board climbs."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support import lossy, netns

LINKS = [
    (),  # the control
    ("delay", "60ms", "20ms"),
    ("delay", "20ms", "loss", "8%"),
    ("delay", "20ms", "reorder", "30%", "duplicate", "5%"),
]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("link", LINKS, ids=" ".join)
def test_a_slow_and_lossy_link_is_climbed(
    tmp_path: Path, version: str, link: tuple[str, ...]
) -> None:
    if not netns.allowed():
        pytest.skip("this machine (a container?) forbids network namespaces")
    if link and not shutil.which("tc"):
        pytest.skip("there is no tc on this machine (Debian's package iproute2)")
    done = subprocess.run(
        lossy.command(tmp_path, version, *link), capture_output=True, text=True, check=False
    )
    if done.returncode == lossy.NO_NETEM:
        pytest.skip("this kernel has no netem (module sch_netem)")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "ready"
