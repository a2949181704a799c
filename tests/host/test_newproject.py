"""A new project folder is there whole, or not at all."""

import errno
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from firmshake import newfile, project
from firmshake.errors import Error
from firmshake.newproject import new_project, prefix_of
from firmshake.project import Broker, Project, Wifi
from firmshake.registry import Registry

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
SECRET = b"correct horse"
BROKER = Broker("mqtt.example", 8883, "mqtt.example")
EVERY_FILE = {
    ".gitignore": 0o644,
    "fleet.toml": 0o600,
    "profiles.toml": 0o644,
    "registry.sqlite": 0o600,
    "ca/ca.toml": 0o644,
    "ca/root.crt": 0o644,
    "ca/root.crl": 0o644,
    "ca/root.key": 0o600,
    "ca/intermediate.crt": 0o644,
    "ca/intermediate.crl": 0o644,
    "ca/intermediate.key": 0o600,
    "broker/broker.pem": 0o600,
    "broker/ca.crt": 0o644,
    "broker/crl.pem": 0o644,
    "broker/mosquitto.conf": 0o644,
    "broker/acl": 0o600,
}


def _make(folder: Path, **more: str) -> Project:
    return new_project(folder, broker=BROKER, passphrase=SECRET, now=NOW, **more)  # type: ignore[arg-type]


def _files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("exists", [False, True])
def test_a_project_has_these_files_with_these_modes_and_nothing_else(
    tmp_path: Path, exists: bool
) -> None:
    folder = tmp_path / "greenhouse"
    if exists:
        folder.mkdir()
    before = os.umask(0o022)
    try:
        made = _make(folder)
    finally:
        os.umask(before)
    assert _files(folder) == EVERY_FILE
    assert list(tmp_path.iterdir()) == [folder]
    assert made == project.load(folder)
    assert made.name == "greenhouse"


def test_both_ca_keys_are_encrypted_and_only_the_brokers_is_in_clear(tmp_path: Path) -> None:
    made = _make(tmp_path / "a")
    for name in ("root.key", "intermediate.key"):
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in (made.ca_folder / name).read_bytes()
    assert b"BEGIN PRIVATE KEY" in (made.broker_folder / "broker.pem").read_bytes()
    for path in made.root.rglob("*"):
        assert path.is_dir() or SECRET not in path.read_bytes()


def test_the_broker_has_its_chain_and_trusts_the_root(tmp_path: Path) -> None:
    made = new_project(
        tmp_path / "a",
        broker=Broker("192.0.2.7", 1, "mqtt.example"),
        passphrase=SECRET,
        now=NOW,
        broker_names=["other.example", "192.0.2.7"],
    )
    text = (made.broker_folder / "broker.pem").read_bytes()
    leaf, above = x509.load_pem_x509_certificates(text)
    leaf.verify_directly_issued_by(above)
    above.verify_directly_issued_by(project.root_certificate(made))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    # an address in both forms: old firmware has an eye for the second one only
    wanted = ["mqtt.example", "192.0.2.7", "192.0.2.7", "other.example"]
    assert [str(name.value) for name in names] == wanted
    assert [type(name) for name in names[1:3]] == [x509.IPAddress, x509.DNSName]
    trusted = x509.load_pem_x509_certificates((made.broker_folder / "ca.crt").read_bytes())
    assert trusted == [project.root_certificate(made)]


def test_the_settings_are_those_that_were_given(tmp_path: Path) -> None:
    made = new_project(
        tmp_path / "a",
        broker=Broker("::1", 99, "mqtt.example"),
        passphrase=SECRET,
        now=NOW,
        name="Green House №1",
        wifi=Wifi('s"h\\ed', "eight or more"),
        ntp=(),
        keepalive_s=7,
    )
    assert made.name == "Green House №1"
    assert made.prefix == "green-house-1"
    assert made.broker == Broker("::1", 99, "mqtt.example")
    assert made.wifi == Wifi('s"h\\ed', "eight or more")
    assert (made.ntp, made.keepalive_s) == ((), 7)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("Green House", "green-house"), ("№№", "board"), ("a" * 40, "a" * 24), ("-x-", "x")],
)
def test_the_prefix_is_made_from_the_name(name: str, prefix: str) -> None:
    assert prefix_of(name) == prefix


def test_the_registry_is_empty_and_opens(tmp_path: Path) -> None:
    assert Registry.open(_make(tmp_path / "a").registry_path).devices() == []


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    _make(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert set(_files(tmp_path)) == {*EVERY_FILE, "notes.txt"}


@pytest.mark.parametrize("entry", ["fleet.toml", "ca", "broker", "registry.sqlite", ".gitignore"])
def test_a_folder_that_holds_one_of_its_entries_is_left_as_it_is(
    tmp_path: Path, entry: str
) -> None:
    (tmp_path / entry).write_text("before")
    with pytest.raises(Error, match=f"already holds {entry}"):
        _make(tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(entry, "before")]


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    _make(tmp_path / "a")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(Error, match="already holds fleet.toml"):
        _make(tmp_path / "a")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("wrong", "said"), [("x" * 41, "name must be"), ("", "name must be"), ("a\nb", "name must be")]
)
def test_a_wrong_setting_is_refused_before_anything_is_made(
    tmp_path: Path, wrong: str, said: str
) -> None:
    with pytest.raises(Error, match=said) as caught:
        _make(tmp_path / "a", name=wrong)
    assert ".firmshake-" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_a_missing_folder_above_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Error, match="is not a folder"):
        _make(tmp_path / "file")
    with pytest.raises(Error, match="can't make .*/file/a"):
        _make(tmp_path / "file" / "a")
    with pytest.raises(Error, match="can't make") as caught:
        _make(tmp_path / "none" / "a")
    assert caught.value.hint == "make the folder above it first"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


class _Breaks:
    """Stands in front of a function, and raises in place of its n-th call."""

    def __init__(self, real: Callable[..., object], at: int, error: BaseException) -> None:
        self.real, self.left, self.error = real, at, error

    def __call__(self, *given: object, **named: object) -> object:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return self.real(*given, **named)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()])
@pytest.mark.parametrize(
    ("function", "calls"),
    [
        ("create", range(1, 11)),
        ("creating", (1, 2)),
        ("rename", range(1, 6)),
        ("mkdir", (1, 2, 3)),
    ],
)
def test_wherever_it_is_interrupted_or_the_disk_is_full_nothing_is_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    calls: range | tuple[int, ...],
    error: BaseException,
    exists: bool,
) -> None:
    """Each file, each folder and each move is the one that fails, once."""
    owner = newfile if function.startswith("creat") else Path
    folder = tmp_path / "greenhouse"
    if exists:
        folder.mkdir()
    before = list(tmp_path.rglob("*"))
    broken = 0
    for at in calls:
        with monkeypatch.context() as patch:
            breaks = _Breaks(getattr(owner, function), at, error)
            patch.setattr(owner, function, lambda *a, b=breaks, **k: b(*a, **k))
            if function == "rename" and not exists and at > 1:
                break  # a new folder is put in place in one step
            with pytest.raises((Error, KeyboardInterrupt)):
                _make(folder)
        broken += 1
        assert list(tmp_path.rglob("*")) == before
    assert broken
    _make(folder)
    assert set(_files(folder)) == set(EVERY_FILE)
