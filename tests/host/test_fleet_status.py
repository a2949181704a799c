"""`firmshake fleet status`: what it shows, to people and to programs."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support import desk
from support.commands import run
from support.fleetruns import finished_run

from firmshake.project import Project
from firmshake.registry import Registry

RESUME = "firmshake fleet run --resume"


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return desk.make_project(tmp_path / "fleet")


def test_a_fleet_without_runs_says_how_to_begin(made: Project) -> None:
    done = run("fleet", "status", "--project", made.root)
    assert done.out == "devices\n  none yet\n"
    assert "no run yet; begin one: firmshake fleet run" in done.err


def test_a_run_that_is_not_finished_says_how_to_go_on(made: Project) -> None:
    finished_run(made, proved=["gh-1"], left=["gh-2"])
    registry = Registry.open(made.registry_path)
    assert RESUME in run("fleet", "status", "--project", made.root).err
    other = registry.open_run("other", "x-{number:03}", 5)
    assert RESUME in run("fleet", "status", "--project", made.root).err
    # the last one is what goes on
    assert run("fleet", "status", "1", "--project", made.root).err == ""
    claim = {"boards": (), "station": "here", "session": "s", "lease_s": 60.0}
    registry.claim(other.id, unique_id="b1", **claim)
    assert run("fleet", "status", "--project", made.root).err == ""
    registry.drop_session("s")
    registry.end_run(other.id)
    assert run("fleet", "status", "--project", made.root).err == ""
    assert RESUME in run("fleet", "status", "1", "--project", made.root).err


def test_what_is_no_terminal_gets_whole_lines_and_no_padding(made: Project) -> None:
    finished_run(made, proved=["gh-1"], failed=["g" * 60, "h" * 60], left=["gh-4"])
    lines = run("fleet", "status", "--project", made.root).out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert lines[0] == "devices"
    assert lines[-1]
    assert "  2  failed" in lines
    assert "run 1: spring, 4 wanted" in lines
    changes = lines[lines.index("last changes (UTC)") + 1 :]
    assert len(changes) == 8
    for line in changes:
        assert re.fullmatch(r"  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  \S+  \S+(  \S+)?", line)


def test_programs_get_moments_as_iso_8601(made: Project) -> None:
    finished_run(made, proved=["gh-1"])
    told = json.loads(run("fleet", "status", "--json", "--project", made.root).out)
    for said in (told["run"]["created_at"], told["changes"][0]["at"]):
        assert "T" in said
        assert datetime.fromisoformat(said).utcoffset() == timedelta(0)
    assert told["run"]["ended_at"] is None
