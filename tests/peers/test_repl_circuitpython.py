"""Uploads to the virtual CircuitPython: CPython in CircuitPython's shape, and no real board."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from support.boardtools import PATIENCE_S

from firmshake.errors import Error
from firmshake.repl import running, transfer, upload
from firmshake.virtual.circuitboard import VirtualCircuitPython
from firmshake.virtual.fault import Cut, Faults

# pyserial forgets the socket of an rfc2217:// port whose other end hung up
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NAMES = ("/code.py", "/firmshake/key.pem", "/firmshake/cert.pem", "/lib/firmshake_agent/one.mpy")


def version(name: str) -> dict[str, bytes]:
    """A set of files of which none is in another."""
    noise = b"".join(hashlib.sha256(name.encode() + bytes([n])).digest() for n in range(60))
    files = {path: f"{name} {path} ".encode() + noise for path in NAMES}
    return files | {"/code.py": f"print('this is version', {name!r})\n".encode()}


def board(files: dict[str, bytes], **options: object) -> VirtualCircuitPython:
    """One without a drive."""
    given = {path.lstrip("/"): data for path, data in files.items()}
    options = {"board": "esp32", "faster_than_life": True} | options
    return VirtualCircuitPython(files=given, **options)  # type: ignore[arg-type]


def held(made: VirtualCircuitPython) -> dict[str, bytes]:
    found = (path for path in made.root.rglob("*") if path.is_file())
    return {f"/{path.relative_to(made.root)}": path.read_bytes() for path in found}


def test_it_says_who_it_is_and_its_number_as_circuitpython_has_it() -> None:
    with board({}) as made:
        found = running.identify(made.url)
        assert found.unique_id == made.uid.lower()
    assert (found.runtime, found.inflate, found.binary) == ("circuitpython", "zlib", False)
    assert found.mac == ""
    assert found.machine


def test_only_what_differs_travels_and_the_users_own_files_stay() -> None:
    own = {"/settings.toml": b'MY_OWN = "line"\n'}
    with board(version("old") | own) as made:
        upload.upload(made.url, version("new"))
        assert {**version("new"), **own}.items() <= held(made).items()
        assert upload.upload(made.url, version("new")).written == ()
        changed = version("new") | {"/firmshake/key.pem": b"another"}
        assert upload.upload(made.url, changed).written == ("/code.py", "/firmshake/key.pem")
        assert "/firmshake.new" not in {path.rpartition("/")[0] for path in held(made)}


@pytest.mark.parametrize("share", [20, 60, 90, 99])
def test_unplugged_at_any_percent_the_same_command_repairs(
    share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = version("old"), version("new")
    # nothing is sent again because an answer is late: the bytes are as many the next time
    monkeypatch.setattr(transfer, "_ACK_S", PATIENCE_S)
    with board(old) as made:
        upload.upload(made.url, new)
        total = made.received
    cut = Faults(unplug_at=Cut(count=total * share // 100))
    with board(old, faults=cut) as made:
        with pytest.raises(Error, match="went away"):
            upload.upload(made.url, new, may_reset=False)
        assert old.items() <= held(made).items()
        made.replug()
        upload.upload(made.url, new)
        assert new.items() <= held(made).items()


def test_a_board_that_shows_its_drive_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        drive = Path(folder) / "CIRCUITPY"
        with board(version("old"), board="pico-2-w", drive=drive) as made:
            with pytest.raises(Error, match="cannot be written from its REPL") as caught:
                upload.upload(made.url, version("new"))
            assert "copy to the drive" in caught.value.hint
            assert version("old").items() <= held(made).items()
