"""What a board starts with: the entry points, and the runtime that they choose."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from firmshake_agent import agent
from firmshake_agent.recorder import Recorder

DEVICE = Path(agent.__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "module"),
    [("circuitpython", "runtime_circuitpython"), ("micropython", "runtime_micropython")],
)
def test_the_interpreters_name_chooses_the_runtime(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    ran: list[tuple[object, ...]] = []
    written: list[str] = []
    made = ModuleType(module)
    board = SimpleNamespace(name=module)
    made.Runtime = lambda: board  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"firmshake_agent.{module}", made)
    interpreter = SimpleNamespace(
        implementation=SimpleNamespace(name=name), stdout=SimpleNamespace(write=written.append)
    )
    monkeypatch.setattr(agent, "sys", interpreter)
    monkeypatch.setattr(agent, "run", lambda runtime, *others: ran.append((runtime, *others)))
    agent.main()
    ((runtime, _, _, recorder),) = ran
    assert runtime is board
    assert isinstance(recorder, Recorder)
    assert written == ["\n"]


@pytest.mark.parametrize(
    ("file", "name", "starts"),
    [("main.py", "__main__", 1), ("code.py", "__main__", 1), ("code.py", "code", 0)],
)
def test_an_entry_point_starts_the_agent(
    monkeypatch: pytest.MonkeyPatch, file: str, name: str, starts: int
) -> None:
    """But CircuitPython's has the name of a module of the standard library: imported, it rests."""
    started: list[int] = []
    monkeypatch.setattr(agent, "main", lambda: started.append(1))
    runpy.run_path(str(DEVICE / file), run_name=name)
    assert len(started) == starts
