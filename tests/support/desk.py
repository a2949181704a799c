"""A user's desk: a project with its broker, and the commands that a user types there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from firmshake import boardfiles, bundle, image, partitions, project, provision
from firmshake.ca.authority import Authority
from firmshake.event import Event, Output
from firmshake.localbroker import LocalBroker
from firmshake.newproject import new_project
from firmshake.ownregistrar import OwnRegistrar
from firmshake.project import Broker, Project, Wifi
from firmshake.registry import Registry
from firmshake.virtual import standin_firmware
from firmshake.ways.choose import Wish
from firmshake.ways.way import Watcher
from support.servers import free_port

PASSPHRASE = b"correct horse battery"
SHED = Wifi("shed", "the shed's password")
LIMIT_S = 300.0  # for a command that ends within seconds, unless something is wrong


def make_project(
    folder: Path,
    *,
    wifi: Wifi | None = SHED,
    ntp: Sequence[str] = (),
    host: str = "127.0.0.1",
    passphrase: bytes = PASSPHRASE,
) -> Project:
    """A new project in `folder`; its broker belongs on a free port of this computer."""
    broker = Broker(host, free_port(), host)
    # made a while ago: a clock may be tried that is a little behind
    made = datetime.now(UTC) - timedelta(days=30)
    return new_project(folder, broker=broker, passphrase=passphrase, now=made, wifi=wifi, ntp=ntp)


def authority(made: Project) -> Authority:
    """The project's CA, opened."""
    return project.open_authority(made, PASSPHRASE)


def provisioned(
    made: Project,
    wish: Wish,
    notes: Watcher,
    *,
    device_id: str | None = None,
    replace: bool = False,
    **more: Any,
) -> provision.Outcome:
    """As the command does it."""
    registry = Registry.open(made.registry_path)
    registrar = OwnRegistrar(made, authority(made), registry, device_id, replace)
    return provision.provision(made, registrar, wish, notes, **more)


def broker(made: Project) -> LocalBroker:
    """The project's mosquitto, to be entered."""
    return LocalBroker(made.broker_folder, made.broker.host, made.broker.port)


@contextlib.contextmanager
def typed(passphrase: bytes = PASSPHRASE) -> Iterator[int]:
    """A descriptor to read the passphrase from."""
    read, write = os.pipe()
    os.write(write, passphrase + b"\n")
    os.close(write)
    try:
        yield read
    finally:
        os.close(read)


def firmshake(
    *arguments: str,
    cwd: Path,
    passphrase: bytes | None = PASSPHRASE,
    within: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    **more: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command in `cwd` as a user would; `within` is a command that starts it."""
    command = [*within, sys.executable, "-P", "-m", "firmshake", *arguments]
    with contextlib.ExitStack() as stack:
        fds = []
        if passphrase is not None:
            fds = [stack.enter_context(typed(passphrase))]
            command += ["--passphrase-fd", str(fds[0])]
        return subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            pass_fds=fds,
            timeout=LIMIT_S,
            **more,
        )


def complaint(done: subprocess.CompletedProcess[str], status: int = 1) -> tuple[str, str]:
    """What a failed command said, and what to do: just these two lines end its standard error."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    what, hint = done.stderr.splitlines()[-2:]
    assert what.startswith("firmshake: "), done.stderr
    assert hint.startswith("  "), done.stderr
    return what.removeprefix("firmshake: "), hint.strip()


class Notes:
    """A watcher that writes everything down."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.steps: list[str] = []
        self.pleas: list[str] = []
        self.progress: list[tuple[int, int]] = []
        self.events: list[Event] = []
        self.outputs: list[Output] = []

    def reached(self, stage: str) -> None:
        pass

    def begin(self, text: str) -> None:
        self.begun.append(text)

    def step(self, text: str) -> None:
        self.steps.append(text)

    def please(self, text: str) -> None:
        self.pleas.append(text)

    def writing(self, done: int, total: int) -> None:
        self.progress.append((done, total))

    def event(self, event: Event) -> None:
        self.events.append(event)

    def output(self, output: Output) -> None:
        self.outputs.append(output)


def flash_of(
    made: Project, device_id: str = "shed-1", *, now: datetime | None = None, **settings: object
) -> bytes:
    """The whole flash of a board that was provisioned, without esptool; `settings` are changed."""
    now = now or datetime.now(UTC)
    identity = authority(made).issue(device_id, now=now)
    files = boardfiles.of(made, identity, device_id, now)
    if settings:
        changed = boardfiles.settings(made, device_id, now) | settings
        files["/firmshake/settings.json"] = json.dumps(changed).encode()
    firmware = standin_firmware()
    region = partitions.filesystem_region(
        partitions.parse(firmware[partitions.TABLE_OFFSET - 0x1000 :]), 4 << 20
    )
    built = image.build(bundle.agent_files() | files, region.block_count)
    blank = b"\xff" * (4 << 20)
    return image.laid_over(blank, [image.Run(0x1000, firmware), *built.at(region.offset)])
