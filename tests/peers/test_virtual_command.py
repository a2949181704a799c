"""`firmshake virtual` for each kind of board: what it says to give to which tool, and its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.boardtools import mpremote, settled

PATIENCE_S = 60


@contextmanager
def virtual(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "firmshake", "virtual", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def line_of(run: subprocess.Popen[str]) -> str:
    assert run.stdout is not None
    return run.stdout.readline().rstrip("\n")


@pytest.mark.parametrize(
    ("options", "runtime", "unique_id"),
    [
        (["--chip", "esp32-s3", "--mac", "f4:12:fa:01:02:03"], "micropython", "f412fa010203"),
        (["--board", "pico-w", "--drive", "D"], "micropython", "e6614c311b45922a"),
        (
            ["--board", "pico-2-w", "--drive", "D", "--unique-id", "00" * 8, "--no-blank"],
            "micropython",
            "00" * 8,
        ),
        (["--board", "pico-2-w", "--circuitpython", "--drive", "D"], "circuitpython", None),
        (["--board", "esp32-c3", "--circuitpython"], "circuitpython", "240ac4123456"),
    ],
)
def test_a_program_reads_what_to_give_to_its_tools(
    tmp_path: Path, options: list[str], runtime: str, unique_id: str | None
) -> None:
    drive = tmp_path / "drive"
    options = [option.replace("D", str(drive)) if option == "D" else option for option in options]
    with virtual("--json", *options) as run:
        (told,) = json.loads(line_of(run))["boards"]
        assert told["board"] == options[1]
        assert told["runtime"] == runtime
        assert told["port"].startswith("rfc2217://127.0.0.1:")
        assert told["drive"] == (str(drive) if str(drive) in options else None)
        assert unique_id in (None, told["unique_id"])
        code = "import sys; print(sys.implementation.name)"
        if "pico-w" not in options:  # which is a drive now, and no port
            assert mpremote(settled(told["port"]), "exec", code) == f"{runtime}\n"
        run.send_signal(signal.SIGINT)
        rest, complaint = run.communicate(timeout=PATIENCE_S)
        assert rest == ""
        assert "Traceback" not in complaint
        assert run.returncode == 130
    assert not drive.exists()


def test_a_person_reads_the_port_and_below_it_the_drive(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    with virtual("--board", "pico-w", "--drive", str(drive)) as run:
        assert line_of(run).startswith("rfc2217://127.0.0.1:")
        assert line_of(run) == str(drive)
        assert (drive / "INFO_UF2.TXT").exists()
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=PATIENCE_S)
    assert f"copy a .uf2 to {drive}" in said
    assert not drive.exists()
