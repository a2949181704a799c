"""A factory bench: virtual boards as `firmshake virtual --boards` serves them, and fleet runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmshake.project import Project
from firmshake.registry import Registry
from firmshake.registry.record import DeviceRecord
from support import desk

LIMIT_S = 240.0


@dataclass(frozen=True)
class Bench:
    """A project, the folder in which its virtual boards are announced, and those boards."""

    made: Project
    runtime: Path
    boards: tuple[dict[str, Any], ...] = field(default=())
    pid: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """For everything that is to find these boards, and no others."""
        return {**os.environ, "FIRMSHAKE_RUNTIME": str(self.runtime)}

    @property
    def registry(self) -> Registry:
        return Registry.open(self.made.registry_path)

    def devices(self) -> list[DeviceRecord]:
        return self.registry.devices()

    def run(self, *arguments: str, timeout: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
        """`firmshake fleet ARGUMENTS` to its end."""
        with self.running(*arguments) as process:
            out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @contextlib.contextmanager
    def running(self, *arguments: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
        """`firmshake fleet ARGUMENTS` that goes on; it is killed in the end."""
        command = [sys.executable, "-P", "-m", "firmshake", "fleet", *arguments]
        with desk.typed() as handle:
            if arguments[0] == "run":
                command += ["--passphrase-fd", str(handle)]
            process = subprocess.Popen(
                command,
                cwd=self.made.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[handle],
                text=True,
                **more,
            )
        with process:
            try:
                yield process
            finally:
                process.kill()


def said(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The JSON lines that it printed."""
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextlib.contextmanager
def bench(
    made: Project, runtime: Path, count: int, *more: str, paced: bool = False
) -> Iterator[Bench]:
    """`count` virtual boards, announced to whoever looks into `runtime`."""
    runtime.mkdir(mode=0o700, exist_ok=True)
    bare = Bench(made, runtime)
    arguments = ["virtual", "--boards", str(count), "--json", *more]
    arguments += [] if paced else ["--faster-than-life"]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "firmshake", *arguments],
        cwd=made.root,
        env=bare.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield Bench(made, runtime, tuple(told["boards"]), process.pid)
        finally:
            process.terminate()
            process.wait(60)


def accounts(registry: Registry, proved: Sequence[DeviceRecord]) -> None:
    """Each certificate of a device is the one on a proved board, or was revoked."""
    on_boards = {one.certificate.serial_number for one in proved if one.certificate}
    for row in registry.certificates(kind="device"):
        is_accounted = row.serial_number in on_boards or row.revoked_at is not None
        assert is_accounted, row
