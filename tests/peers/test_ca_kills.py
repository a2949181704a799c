"""The CA under SIGKILL: whatever line it is at, registry, log and files hold together."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import desk, kills

from firmshake.ca import bulkfile
from firmshake.ca import certificate as certificates
from firmshake.project import Project
from firmshake.registry import Registry, log

KILLS = 10
SEED = 20260504
LIMIT_S = 180.0  # only a broken test waits so long
# hundreds of trials take 13 s of a processor that is free
TRIALS_S = 220.0


def _broken_off(operation: str, times: int = KILLS) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", str(Path(kills.__file__)), operation, str(times), str(SEED)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TRIALS_S)


@pytest.mark.parametrize("operation", kills.OPERATIONS)
def test_killed_at_any_line_an_operation_leaves_all_in_order_and_can_be_done_again(
    operation: str,
) -> None:
    done = _broken_off(operation)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["lines"] > 100
    assert said["states"] > 5


@pytest.mark.parametrize(
    ("control", "what"),
    [
        ("written_first", "the registry does not know"),
        ("never_written", "the key of gw-1 is lost, and nothing tells"),
        ("in_pieces", "has the mode 0644"),
    ],
)
def test_harm_would_be_found(control: str, what: str) -> None:
    done = _broken_off(control, times=0)
    assert done.returncode == 1, done.stderr
    assert what in done.stdout


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return desk.make_project(tmp_path / "greenhouse")


# `firmshake`, which the system kills where a file of its grows beyond a length
_LIMITED = """\
import resource, signal
from firmshake.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
main()
"""


@contextlib.contextmanager
def _running(
    made: Project, *words: str, longest: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A `firmshake ca issue --count` in the project's folder; no file gets beyond `longest`."""
    firmshake = ["-m", "firmshake"] if longest is None else ["-c", _LIMITED.format(longest)]
    command = [sys.executable, "-P", *firmshake, "ca", "issue", "--clear-keys"]
    with desk.typed() as fd:
        command += ["--passphrase-fd", str(fd), *words]
        process = subprocess.Popen(
            command,
            cwd=made.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[fd],
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _kill_when_longer(process: subprocess.Popen[str], path: Path, length: int) -> int:
    """Kill the command once the file is longer than that; return how it ended."""
    deadline = time.monotonic() + LIMIT_S
    while process.poll() is None and _bytes(path) <= length:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    return process.wait()


def _check(made: Project, *files: Path) -> list[str]:
    """The ids in the files, once everything is found to hold together."""
    registry = Registry.open(made.registry_path)
    assert list(kills._of_sqlite(made.registry_path)) == []
    assert list(log.broken(registry.log())) == []
    assert registry.undelivered() == registry.deliveries() == []
    good = {
        one.serial_number: one.device_id
        for one in registry.certificates(kind="device")
        if one.revoked_at is None
    }
    ids = []
    for path in files:
        for line in path.read_bytes().splitlines():
            entry = bulkfile.parse(line)
            assert good.pop(certificates.serial(entry.certificate)) == entry.device_id
            ids.append(entry.device_id)
    assert good == {}
    return ids


def test_a_command_killed_again_and_again_goes_on_to_its_end(made: Project) -> None:
    count, chance = 4000, random.Random(SEED)
    path = made.root / "keys.jsonl"
    words = ["--count", str(count), "--prefix", "pump", "--out", path.name]
    for _ in range(4):
        # somewhere in the next part; where we are late, the system kills it in the one after that
        length = _bytes(path) + chance.randrange(900_000)
        longest = max(_bytes(path), _bytes(made.registry_path)) + 1_500_000
        with _running(made, *words, longest=longest) as process:
            ended = _kill_when_longer(process, path, length)
        assert ended in (-signal.SIGKILL, -signal.SIGXFSZ)
    with _running(made, *words) as process:
        _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    assert _check(made, path) == [f"pump-{number:06}" for number in range(1, count + 1)]
    # what was recorded and never written is revoked
    registry = Registry.open(made.registry_path)
    issued = sum(1 for _ in registry.certificates(kind="device"))
    assert issued == count + sum(1 for _ in registry.revoked())


def test_two_runs_at_once_beside_a_provisioning_end_well_with_ids_of_their_own(
    made: Project,
) -> None:
    paths = [made.root / "a.jsonl", made.root / "b.jsonl"]
    registry, authority = Registry.open(made.registry_path), desk.authority(made)
    boards = 0
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(
                _running(made, "--count", "2000", "--prefix", "pump", "--out", path.name)
            )
            for path in paths
        ]
        deadline = time.monotonic() + LIMIT_S
        while not boards or any(run.poll() is None for run in runs):
            assert time.monotonic() < deadline
            made_now = authority.issue(f"board-{boards}", now=datetime.now(UTC))
            registry.record_issued(f"board-{boards}", made_now.certificate)
            boards += 1
        said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    registry.revoke(
        [
            one.serial_number
            for one in registry.certificates(kind="device")
            if str(one.device_id).startswith("board-")
        ],
        "cessationOfOperation",
    )
    ids = _check(made, *paths)
    assert sorted(ids) == [f"pump-{number:06}" for number in range(1, 4001)]
