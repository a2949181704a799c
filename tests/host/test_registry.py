"""The registry: what it remembers, and what can be wrong with its file."""

import contextlib
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firmshake.ca import authority
from firmshake.errors import Error
from firmshake.registry import Registry, Unavailable
from firmshake.registry import sqlitefile as registryfile
from firmshake.registry.database import waits_told

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
_, ISSUING = authority.create("greenhouse", now=NOW)
PUMP = ISSUING.issue("pump", now=NOW)


class Clock:
    """A clock that is a minute further at each look."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Registry.create(tmp_path / "registry.sqlite")
    return tmp_path / "registry.sqlite"


@pytest.fixture
def registry(path: Path) -> Registry:
    return Registry.open(path, Clock())


def test_no_key_is_in_the_file(path: Path, registry: Registry) -> None:
    registry.record_issued("pump", PUMP.certificate)
    secret = PUMP.key.private_numbers().private_value.to_bytes(32, "big")
    content = path.read_bytes()
    assert secret not in content
    assert secret.hex().encode() not in content.lower()


def test_threads_that_write_at_once_all_succeed(path: Path) -> None:
    registry = Registry.open(path)
    threads = [
        threading.Thread(target=registry.set_state, args=(f"d{n}", "planned")) for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.devices()) == 16


def test_a_registry_is_not_made_over_a_file(path: Path) -> None:
    with pytest.raises(Error, match="can't make the registry"):
        Registry.create(path)


def test_a_missing_registry_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no registry at"):
        Registry.open(tmp_path / "none.sqlite")
    with pytest.raises(Error, match="no registry at"):
        Registry.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_registry_of_a_newer_version_is_left_alone(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA user_version = 99")
    with pytest.raises(Error, match="of version 99") as caught:
        Registry.open(path)
    assert "newer" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_registry_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "registry.sqlite"
    path.write_bytes(content)
    with pytest.raises(Error, match=r"is not a registry|is damaged"):
        Registry.open(path)
    assert path.read_bytes() == content


def test_a_damaged_registry_is_an_error(path: Path) -> None:
    """Its first page, with the version, is left as it was."""
    Registry.open(path).record_issued("pump", PUMP.certificate)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(Error, match="is damaged"):
        Registry.open(path).devices()


def test_a_table_that_is_gone_is_an_error(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DROP TABLE certificates")
    with pytest.raises(Error, match="is damaged"):
        Registry.open(path).devices()


def test_a_locked_registry_can_be_read_and_says_so_when_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registryfile, "WAIT_S", 0.0)
    registry = Registry.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert registry.devices() == []
    with pytest.raises(Unavailable, match="in use by another process"):
        registry.set_state("pump", "planned")
    other.execute("ROLLBACK")
    registry.set_state("pump", "planned")
    other.close()


@pytest.mark.parametrize("how", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_who_waits_for_another_process_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(registryfile, "_SILENT_S", 0.01)
    registry = Registry.open(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(how)
        told: list[str] = []

        def tell(text: str) -> None:
            told.append(text)
            if other.in_transaction:
                other.execute("ROLLBACK")

        with waits_told(tell):
            registry.set_state("pump", "planned")
            assert [words.split()[0] for words in told] == ["waiting", "the"]
            # the control: nobody is in the way, and nothing is said
            registry.set_state("pump", "planned")
        assert len(told) == 2


@pytest.fixture
def without_rights() -> Iterator[None]:
    """As root every file is writable: become nobody until the test is over."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


def test_a_registry_that_may_not_be_written_can_be_read(without_rights: None) -> None:
    # not in tmp_path, whose parents are closed to others
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry.sqlite"
        Registry.create(path).set_state("pump", "planned")
        path.chmod(0o400)
        registry = Registry.open(path)
        assert registry.device("pump")
        with pytest.raises(Error, match="is not writable"):
            registry.set_state("pump", "failed")
        path.chmod(0o000)
        with pytest.raises(Error, match="is not accessible"):
            Registry.open(path)
