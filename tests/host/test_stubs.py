"""What the agent asks of each runtime's modules is there, by the stubs that are published for it.

MicroPython's for ESP32 and Pico W have the whole of the agent; CircuitPython's have no `ssl`,
`time`, `os` and `gc`, which are held against CPython's, so that its runtime alone is looked at.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from mypy import api

import firmshake_agent

AGENT = Path(firmshake_agent.__file__).parent
STUBS = Path(sys.prefix) / "stubs"
ARGUMENTS = (
    "--check-untyped-defs",
    "--config-file=",
    # the board's code is annotated for people, and not for a checker; what a module lacks, and how
    # it is called, is told by others than these
    *(f"--disable-error-code={code}" for code in ("assignment", "var-annotated")),
)
LOOSE = tuple(f"--disable-error-code={code}" for code in ("arg-type", "operator"))
OTHERS = ("runtime_circuitpython.py", "runtime_cpython.py", "const_cpython.py")


@dataclass(frozen=True)
class Board:
    """One runtime: which modules of the agent run there, and what its stubs do not know."""

    modules: tuple[str, ...]
    arguments: tuple[str, ...]
    # a piece of a complaint: why it is none
    known: dict[str, str]


def micropython(name: str, **known: str) -> Board:
    modules = tuple(sorted(path.name for path in AGENT.glob("*.py") if path.name not in OTHERS))
    typeshed = f"--custom-typeshed-dir={STUBS / name}"
    return Board(modules, (typeshed, "--no-site-packages", *LOOSE), {**UNTYPED, **known})


# What a checker cannot know of code without annotations, in a piece of its words: why it is none
UNTYPED = {
    'has no attribute "sockaddr"': "the Unix port's alone",
    'has no attribute "inet_ntop"': "the Unix port's alone",
    '"None" has no attribute': "a field that is filled before it is used",
    'Item "None" of': "a field that is filled before it is used",
    'list[Certificate | None]" has no': "a list whose gaps were taken out",
    "Exception must be derived from BaseException": "an exception's class in a variable",
    '_Stream" is not valid as a type': "io.IOBase where there is one",
    'Invalid base class "_Stream"': "io.IOBase where there is one",
    'module named "adafruit_minimqtt"': "a library beside the agent",
}
BOARDS = {
    "esp32": micropython("esp32"),
    "rp2": micropython("rp2", **{'module named "esp32"': "asked for where it is"}),
    "circuitpython": Board(
        ("runtime_circuitpython.py",), ("--warn-unused-ignores", "--follow-imports=silent"), {}
    ),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def complaints(
    name: str,
    folder: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str] = ("", ""),
) -> list[str]:
    """What mypy has to say of the agent, once `object` means "whatever it is"."""
    board = BOARDS[name]
    package = folder / AGENT.name
    package.mkdir()
    found = False
    for path in AGENT.glob("*.py"):
        text = path.read_text()
        if path.name in board.modules:
            found = found or change[0] in text
            text = typed(text.replace(*change))
        (package / path.name).write_text(text)
    assert found
    if (STUBS / name).is_dir():
        monkeypatch.setenv("MYPYPATH", str(STUBS / name))
    paths = [str(package / module) for module in board.modules]
    out, problem, _ = api.run([*ARGUMENTS, *board.arguments, f"--cache-dir={cache / name}", *paths])
    assert problem == ""
    assert "error" in out or "Success" in out
    begins = tuple(f"{path}:" for path in paths)
    ours = [line for line in out.splitlines() if line.startswith(begins) and ": error:" in line]
    return [line for line in ours if not any(known in line for known in board.known)]


def typed(text: str) -> str:
    """The module with `object` as "whatever it is", which on boards needs no import."""
    text = re.sub(r"\bobject\b", "Any", text)
    if not re.search(r"\bAny\b", text):
        return text
    end = text.index('"""', text.index('"""') + 3) + 3 if text.startswith('"""') else 0
    return f"{text[:end]}\nfrom typing import Any\n{text[end:]}"


@pytest.mark.parametrize("name", BOARDS)
def test_all_that_the_agent_asks_for_is_there(
    name: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complaints(name, tmp_path, cache, monkeypatch) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("esp32", ("esp32.idf_heap_info", "esp32.heap_info")),
        ("esp32", ("network.WLAN(", "network.Wlan(")),
        ("esp32", ("tls.SSLContext(", "tls.Context(")),
        ("esp32", ("time.ticks_ms()", "time.ticks_milliseconds()")),
        ("rp2", ("network.WLAN(", "network.Wlan(")),
        ("rp2", ("machine.RTC()", "machine.Clock()")),
        ("rp2", ("gc.mem_free()", "gc.free()")),
        ("circuitpython", ("wifi.radio.connect(", "wifi.radio.join(")),
        ("circuitpython", ("radio.ipv4_address", "radio.address")),
        (
            "circuitpython",
            ("sock.sendto(request, (host, port))", "sock.sendto((host, port))"),
        ),
        ("circuitpython", ("supervisor.ticks_ms()", "supervisor.ticks()")),
        ("circuitpython", ("rtc.RTC()", "rtc.Clock()")),
        ("circuitpython", ("espidf.heap_caps_get_free_size()", "espidf.idf_heap_info()")),
    ],
)
def test_what_is_not_there_is_found(
    name: str,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: tuple[str, str],
) -> None:
    assert complaints(name, tmp_path, cache, monkeypatch, change)
