"""`firmshake ca remember` with the real GNOME keyring, and with keyrings that can't be used."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import SecretService, chainer, fail, null
from support.commands import FD, Done, run, snapshot
from support.keyrings import FIRMSHAKE, gnome_keyring
from support.softhsm import softhsm

from firmshake import project, remembered
from firmshake.ca import store
from firmshake.errors import Error
from firmshake.newproject import new_project
from firmshake.project import Broker

PHRASE, OTHER = b"correct horse", b"battery staple"
FDS = ("--passphrase-fd", FD)
ROOT_FD = ("--root-passphrase-fd", FD)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pattern") / "greenhouse"
    broker = Broker("127.0.0.1", 8883, "mqtt.example")
    return new_project(folder, broker=broker, passphrase=PHRASE, now=datetime.now(UTC)).root


@pytest.fixture
def made(pattern: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pattern, tmp_path / "greenhouse"))


@contextlib.contextmanager
def _chosen(backend: KeyringBackend) -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(backend)
    try:
        yield
    finally:
        keyring.set_keyring(before)


@pytest.fixture
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """GNOME's keyring, open, is this process's; its folder."""
    folder = tmp_path_factory.mktemp("keyring")
    with gnome_keyring(folder), _chosen(SecretService.Keyring()):
        yield folder


def _ca(folder: Path, *words: object, secrets: tuple[bytes, ...] = ()) -> Done:
    name, *rest = words
    done = run("ca", name, "--project", folder, *rest, secrets=secrets)
    for secret in (PHRASE, OTHER, *secrets):
        text = done.out + done.err + (f"{done.message} {done.hint}" if done.error else "")
        assert secret.decode() not in text
    return done


def _remember(folder: Path, *secrets: bytes) -> None:
    done = _ca(folder, "remember", *FDS, secrets=secrets)
    assert done.status == 0, done


def _works(folder: Path, *words: object, secrets: tuple[bytes, ...] = ()) -> None:
    done = _ca(folder, *words, secrets=secrets)
    assert (done.status, "firmshake:" in done.err) == (0, False), done


def _entry(folder: Path) -> str:
    root = store.certificate(folder / "ca", store.read(folder / "ca").root)
    return remembered.entry(root, store.read(folder / "ca").issuing)


def _asks(done: Done) -> bool:
    return done.status == 2 and "no terminal to ask for the CA" in done.message


def test_what_is_remembered_is_not_asked_for_until_it_is_forgotten(
    made: Path, desktop: Path
) -> None:
    assert _asks(_ca(made, "broker"))
    _remember(made, PHRASE)
    assert keyring.get_password(remembered.SERVICE, _entry(made)) == PHRASE.decode()
    assert "the system's keyring is asked" in _ca(made, "show").out
    for words in (("broker",), ("crl",)):
        _works(made, *words)
    assert _ca(made, "forget").status == 0
    assert keyring.get_password(remembered.SERVICE, _entry(made)) is None
    done = _ca(made, "broker")
    assert _asks(done)
    assert done.err == ""
    assert _ca(made, "forget").status == 0, "there is nothing to forget, which is no fault"


def test_the_passphrase_is_in_no_file_that_can_be_read(made: Path, desktop: Path) -> None:
    _remember(made, PHRASE)
    _works(made, "broker")
    for folder in (made, desktop):
        for path in folder.rglob("*"):
            assert not path.is_file() or PHRASE not in path.read_bytes()


def test_a_wrong_passphrase_is_not_remembered(made: Path, desktop: Path) -> None:
    before = snapshot(made)
    done = _ca(made, "remember", *FDS, secrets=(OTHER,))
    assert (done.status, "wrong passphrase" in done.message) == (1, True)
    assert snapshot(made) == before
    assert keyring.get_password(remembered.SERVICE, _entry(made)) is None
    _remember(made, PHRASE)


def test_it_holds_beyond_a_renewal_and_follows_a_new_passphrase(made: Path, desktop: Path) -> None:
    _remember(made, PHRASE)
    _works(made, "intermediate", *ROOT_FD, secrets=(PHRASE,))
    _works(made, "broker")
    words = ("passphrase", *FDS, "--new-passphrase-fd", FD)
    assert _ca(made, *words, secrets=(PHRASE, OTHER)).status == 0
    assert keyring.get_password(remembered.SERVICE, _entry(made)) == OTHER.decode()
    _works(made, "broker")


def test_the_roots_passphrase_is_asked_for_all_the_same(made: Path, desktop: Path) -> None:
    _remember(made, PHRASE)
    done = _ca(made, "crl", "--root")
    assert "no terminal to ask for the root CA passphrase" in done.message
    _works(made, "crl", "--root", *ROOT_FD, secrets=(PHRASE,))
    assert run("ca", "remember", "--root", "--project", made).status == 2


def test_what_opens_nothing_any_more_is_told_and_a_descriptor_goes_first(
    made: Path, desktop: Path
) -> None:
    _remember(made, PHRASE)
    keyring.set_password(remembered.SERVICE, _entry(made), OTHER.decode())
    before = snapshot(made)
    done = _ca(made, "broker")
    assert (done.status, done.message.startswith("wrong passphrase")) == (1, True)
    assert "the system's keyring held it" in done.hint
    assert "firmshake ca remember" in done.hint
    assert snapshot(made) == before
    _works(made, "broker", *FDS, secrets=(PHRASE,))


def test_two_projects_have_an_entry_each(made: Path, desktop: Path, tmp_path: Path) -> None:
    words = ("init", tmp_path / "b", "--broker", "a", *FDS)
    assert run(*words, secrets=(OTHER,)).status == 0
    _remember(made, PHRASE)
    _remember(tmp_path / "b", OTHER)
    for folder in (made, tmp_path / "b"):
        _works(folder, "broker")
    assert _ca(made, "forget").status == 0
    _works(tmp_path / "b", "broker")


def test_a_pin_is_for_its_token_and_is_never_tried_on_another(
    made: Path, desktop: Path, tmp_path: Path
) -> None:
    (tmp_path / "hsm").mkdir()
    with softhsm(tmp_path / "hsm", "fleet") as token:
        _remember(made, PHRASE)
        new = ("intermediate", *FDS, *ROOT_FD, "--key", token.uri("issuing"))
        assert _ca(made, *new, secrets=(PHRASE, PHRASE, token.pin)).status == 0
        asked = _ca(made, "broker")
        assert "no terminal to ask for the CA token's PIN" in asked.message
        assert "has no such entry" in asked.err
        _remember(made, token.pin, PHRASE)
        assert "PIN token=fleet" in _entry(made)
        _works(made, "broker")


# keyrings that can't be used


def _falls_back(folder: Path, said: str) -> None:
    """The command says so in one line, and asks."""
    done = _ca(folder, "broker")
    assert _asks(done)
    assert [said in line for line in done.err.splitlines()] == [True], done.err
    _works(folder, "broker", *FDS, secrets=(PHRASE,))


def test_a_locked_keyring_that_nobody_opens(
    made: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("keyring")
    with gnome_keyring(folder), _chosen(SecretService.Keyring()):
        _remember(made, PHRASE)
    with gnome_keyring(folder, unlocked=False):
        done = _child("ca", "broker", "--project", made)
        assert done.returncode == 2
        locked, asking, *_ = done.stderr.splitlines()
        assert locked == "firmshake: the system's keyring can't be asked: it is locked"
        assert asking == "firmshake: no terminal to ask for the CA passphrase at"
        words = ("--project", made, "--passphrase-fd", "0")
        assert _child("ca", "broker", *words, typed=PHRASE).returncode == 0
        for name in ("remember", "forget"):
            done = _child("ca", name, *words[: 2 if name == "forget" else 4], typed=PHRASE)
            assert done.returncode == 1
            assert "it is locked" in done.stderr
            assert "Traceback" not in done.stderr
        assert "keyring" not in _child("ca", "broker", "--project", made).stderr


def test_a_session_without_a_keyring(made: Path, desktop: Path, tmp_path: Path) -> None:
    _remember(made, PHRASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/none")
        _falls_back(made, "the system's keyring can't be asked: it does not answer")


class Plain(KeyringBackend):
    """As keyrings.alt's files in clear are: usable, and not recommended."""

    priority = 0.5

    def get_password(self, service: str, username: str) -> str | None:
        raise AssertionError("asked")

    set_password = delete_password = get_password  # type: ignore[assignment]


class Breaking(Plain):
    """A backend of somebody's that raises what it likes, with what it was given in the text."""

    priority = 9

    def get_password(self, service: str, username: str) -> str | None:
        raise LookupError(PHRASE.decode())


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (fail.Keyring(), "no system keyring answers here"),
        (null.Keyring(), "no system keyring answers here"),
        (Plain(), "does not protect what it keeps"),
        (Breaking(), "the system's keyring can't be asked: LookupError"),
    ],
)
def test_a_keyring_that_keeps_nothing_or_in_clear_is_not_used(
    made: Path, backend: KeyringBackend, said: str
) -> None:
    path = made / "ca/ca.toml"
    if not isinstance(backend, Breaking):
        before = snapshot(made)
        with _chosen(backend):
            done = _ca(made, "remember", *FDS, secrets=(PHRASE,))
        assert said in done.message
        assert done.hint
        assert snapshot(made) == before
    path.write_text(path.read_text() + "\n[passphrase]\nkeyring = true\n")
    with _chosen(backend):
        _falls_back(made, said)


def test_of_a_chain_only_what_protects_is_asked(
    made: Path, desktop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library puts one before what it finds; written to it would be the first that takes it."""
    chain = [Plain(), SecretService.Keyring()]
    monkeypatch.setattr(chainer.ChainerBackend, "backends", chain)
    with _chosen(chainer.ChainerBackend()):
        _remember(made, PHRASE)
        _works(made, "broker")
        monkeypatch.setattr(chainer.ChainerBackend, "backends", chain[:1])
        _falls_back(made, "does not protect what it keeps")


def test_without_the_library(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made / "ca/ca.toml"
    path.write_text(path.read_text() + "\n[passphrase]\nkeyring = true\n")
    monkeypatch.setitem(sys.modules, "keyring", None)
    _falls_back(made, "the library keyring, which is not installed")
    assert "pip install 'firmshake[keyring]'" in _ca(made, "remember").hint


def test_a_passphrase_that_is_no_text_is_not_remembered(desktop: Path) -> None:
    with pytest.raises(Error, match="not UTF-8"):
        remembered.remember("name", b"\xff\xfe")


# as a user has it: a process of its own, which finds the keyring by itself, and a terminal


def _firmshake(*words: object) -> list[str]:
    return [sys.executable, "-c", FIRMSHAKE, *map(str, words)]


def _child(*words: object, typed: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run firmshake in a process of its own, which has `typed` on its standard input."""
    return subprocess.run(
        _firmshake(*words),
        input=typed.decode(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_process_finds_the_keyring_by_itself(made: Path, desktop: Path) -> None:
    _remember(made, PHRASE)
    done = _child("ca", "broker", "--project", made)
    assert done.returncode == 0, done
    assert "new certificate and key for the broker" in done.stdout


def _at_terminal(words: list[str], answers: list[tuple[bytes, bytes]]) -> tuple[int, str]:
    """Run a command at a terminal, with what is typed at each question."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(words[0], words)
    said = b""
    for question, answer in answers:
        while question not in said.rpartition(b"\r\n")[2]:
            said += os.read(terminal, 1000)
        os.write(terminal, answer + b"\n")
        said += b"\r\n"
    with contextlib.suppress(OSError):  # it is gone
        while more := os.read(terminal, 1000):
            said += more
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


def test_a_terminal_is_asked_where_the_keyring_is_none(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made / "ca/ca.toml"
    path.write_text(path.read_text() + "\n[passphrase]\nkeyring = true\n")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    words = _firmshake("ca", "broker", "--project", made)
    status, said = _at_terminal(words, [(b"CA passphrase: ", PHRASE)])
    assert status == 0, said
    assert "firmshake: no system keyring answers here" in said
    assert PHRASE.decode() not in said


def test_init_asks_whether_the_root_has_a_passphrase_of_its_own(tmp_path: Path) -> None:
    """Enter takes the same; another has to be typed twice, and is then the root's alone."""
    once, root = b"CA passphrase: ", b"root CA passphrase (Enter: the same): "
    again = b"Repeat for confirmation: "
    both = [(once, PHRASE), (again, PHRASE)]
    for name, answers in (
        ("same", [*both, (root, b"")]),
        ("other", [*both, (root, OTHER), (again, b"typo"), (root, OTHER), (again, OTHER)]),
    ):
        words = _firmshake("init", tmp_path / name, "--broker", "a")
        status, said = _at_terminal(words, answers)
        assert status == 0, said
        assert "The root's key makes no devices" in said
        assert ("do not match" in said) == (name == "other")
        assert not any(secret.decode() in said for secret in (PHRASE, OTHER))
        folder = project.load(tmp_path / name).ca_folder
        place = store.root_place(folder, store.read(folder))
        assert store.open_root(folder, place, PHRASE if name == "same" else OTHER)
        assert project.open_authority(project.load(tmp_path / name), PHRASE)
