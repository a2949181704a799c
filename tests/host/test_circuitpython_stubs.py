"""What the agent asks of CircuitPython's modules is there, by the stubs that its project publishes.

`ssl`, `time`, `os` and `gc` have no stubs of their own: they are held against CPython's.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

import firmshake_agent

AGENT = Path(firmshake_agent.__file__).parent
RUNTIME = "runtime_circuitpython.py"
ARGUMENTS = (
    "--check-untyped-defs",
    "--warn-unused-ignores",
    # the board's code is annotated for people, and not for a checker
    "--disable-error-code=assignment",
    "--disable-error-code=var-annotated",
    "--follow-imports=silent",
    "--config-file=",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def complaints(folder: Path, cache: Path, change: tuple[str, str] = ("", "")) -> str:
    """What mypy has to say of the module, once `object` means "whatever it is"."""
    package = folder / AGENT.name
    package.mkdir()
    for path in AGENT.glob("*.py"):
        text = path.read_text()
        if path.name == RUNTIME:
            assert change[0] in text
            text = re.sub(r"\bobject\b", "Any", text.replace(*change))
            text = text.replace("\nimport errno\n", "\nimport errno\nfrom typing import Any\n")
        (package / path.name).write_text(text)
    out, problem, _ = api.run([*ARGUMENTS, f"--cache-dir={cache}", str(package / RUNTIME)])
    assert problem == ""
    return out


def test_all_that_the_runtime_asks_for_is_there(tmp_path: Path, cache: Path) -> None:
    assert complaints(tmp_path, cache).startswith("Success")


@pytest.mark.parametrize(
    "change",
    [
        ("wifi.radio.connect(", "wifi.radio.join("),
        ("radio.ipv4_address", "radio.address"),
        ("sock.sendto(request, (host, port))", "sock.sendto((host, port))"),
        ("supervisor.ticks_ms()", "supervisor.ticks()"),
        ("rtc.RTC()", "rtc.Clock()"),
        ("espidf.heap_caps_get_free_size()", "espidf.idf_heap_info()"),
    ],
)
def test_what_is_not_there_is_found(tmp_path: Path, cache: Path, change: tuple[str, str]) -> None:
    assert "error:" in complaints(tmp_path, cache, change)
