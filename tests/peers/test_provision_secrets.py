"""A device's key, the CA's passphrase and the Wi-Fi's password stay where they belong."""

from __future__ import annotations

import base64
import contextlib
import os
import threading
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support import desk
from support.desk import Notes

from firmshake import image, partitions, project
from firmshake.ca import certificate
from firmshake.ca.identity import PrivateKey
from firmshake.errors import Error
from firmshake.project import Project
from firmshake.virtual import VirtualBoard, Wifi
from firmshake.ways.choose import Wish

AIR = Wifi(desk.SHED.ssid, desk.SHED.password)
LOOK_EVERY_S = 0.05


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return desk.make_project(tmp_path / "fleet")


class Spy:
    """Collects what others could see: files below some folders, and /proc of every process."""

    def __init__(self, *folders: Path) -> None:
        self.files: dict[str, set[bytes]] = {}
        self.processes: set[bytes] = set()
        self._folders = folders

    def look(self) -> None:
        for folder in self._folders:
            for place, _, names in os.walk(folder):
                for name in names:
                    with contextlib.suppress(OSError):  # it has just gone
                        seen = Path(place, name).read_bytes()
                        self.files.setdefault(name, set()).add(seen)
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.processes.add((entry / name).read_bytes())

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again, until the context ends."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_EVERY_S):
                self.look()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def where(self, secret: bytes) -> set[str]:
        """In what files, or in "a process", the secret was seen in any of the usual forms."""
        found = {name for name, seen in self.files.items() if any(shows(s, secret) for s in seen)}
        return found | ({"a process"} if any(shows(s, secret) for s in self.processes) else set())


def shows(data: bytes, secret: bytes) -> bool:
    # of base64 the middle is the same, however it is aligned
    encoded = [base64.b64encode(secret[skip:])[:-4] for skip in range(3)]
    return any(form in data for form in (secret, secret.hex().encode(), *encoded))


def scalar(der: bytes) -> bytes:
    """The private number in a SEC1 key of P-256 (RFC 5915): 32 bytes behind version and tag."""
    assert der[2:7] == b"\x02\x01\x01\x04\x20"
    return der[7:39]


def key_on(board: VirtualBoard) -> bytes:
    from littlefs import LittleFS
    from littlefs.context import UserContext

    raw = bytes(board.flash)
    table = partitions.parse(raw[partitions.TABLE_OFFSET :])
    region = partitions.filesystem_region(table, len(raw))
    context = UserContext(region.size)
    context.buffer[:] = raw[region.offset : region.offset + region.size]
    # the board's own LittleFS writes a newer version of the disk than ours does
    parameters = {**asdict(image.ESP32), "disk_version": 0}
    filesystem = LittleFS(
        context=context, block_count=region.block_count, mount=False, **parameters
    )
    filesystem.mount()
    with filesystem.open("/firmshake/key.der", "rb") as file:
        return bytes(file.read())


@pytest.mark.parametrize("fails", [False, True])
def test_secrets_are_in_no_file_and_no_process(tmp_path: Path, fails: bool) -> None:
    # of this test alone: others run beside it
    passphrase, password = token_hex(12), token_hex(12)
    wifi = project.Wifi("shed", password)
    made = desk.make_project(tmp_path / "fleet", wifi=wifi, passphrase=passphrase.encode())
    for name in ("tmp", "work"):
        (tmp_path / name).mkdir()
    spy = Spy(made.root, tmp_path / "tmp", tmp_path / "work")
    with contextlib.ExitStack() as stack:
        if not fails:
            stack.enter_context(desk.broker(made))
        # at the line's own speed: the write takes a while
        board = stack.enter_context(VirtualBoard(wifi=Wifi("shed", password)))
        with spy.looking():
            done = desk.firmshake(
                *("provision", board.url, "--project", str(made.root), "--id", "spied-on"),
                *("--timeout", "2" if fails else "60"),
                cwd=tmp_path / "work",
                environment={"TMPDIR": str(tmp_path / "tmp")},
                passphrase=passphrase.encode(),
            )
        board.unplug()  # what it still writes is not to be read half written
        key = key_on(board)
    spy.look()
    assert done.returncode == (1 if fails else 0), done.stderr
    # what is looked for is found
    assert spy.where(b"spied-on") >= {"registry.sqlite", "a process"}
    for secret in (scalar(key), passphrase.encode(), password.encode()):
        expected = {"fleet.toml"} if secret == password.encode() else set()
        assert spy.where(secret) == expected
        assert not shows((done.stdout + done.stderr).encode(), secret)
    assert os.listdir(tmp_path / "tmp") == os.listdir(tmp_path / "work") == []


def test_secrets_are_in_no_exception(made: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    made_keys: list[PrivateKey] = []
    new_key = certificate.new_key_of

    def noting(kind: str) -> PrivateKey:
        made_keys.append(new_key(kind))
        return made_keys[-1]

    monkeypatch.setattr(certificate, "new_key_of", noting)
    with VirtualBoard(wifi=AIR, faster_than_life=True) as board:

        class Unplugging(Notes):
            def writing(self, done: int, total: int) -> None:
                board.unplug()

        with pytest.raises(Error) as caught:
            desk.provisioned(made, Wish(board.url), Unplugging())
    told = "".join(traceback.TracebackException.from_exception(caught.value).format())
    told += repr(caught.value.args) + repr(vars(caught.value))
    key = made_keys[0].private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert key.hex()[14:78] not in told
    assert repr(scalar(key))[2:-1] not in told
    assert str(desk.SHED.password) not in told + repr(made)
    assert desk.PASSPHRASE.decode() not in told
