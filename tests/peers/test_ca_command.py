"""`firmshake ca broker`: a new certificate for the broker, taken up by the real mosquitto."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from support.servers import free_port

from firmshake import boardfiles, brokerrenewal, climb, tools
from firmshake.cli.ca import command
from firmshake.errors import Error
from firmshake.newproject import new_project, write_broker_certificate
from firmshake.project import BROKER_FILE, Broker, Project, open_authority
from firmshake.registry import Issued, Registry
from firmshake.verdict import Verdict

SECRET = b"correct horse"
NOW = datetime.now(UTC)
HOUR_AGO = (NOW - timedelta(hours=2), NOW - timedelta(hours=1))
NAMES = ["broker.example", "127.0.0.1", "old.example", "2001:db8::1"]

Pair = tuple[bytes, bytes]


@pytest.fixture
def made(tmp_path: Path) -> Project:
    """A project whose broker's certificate has expired."""
    broker = Broker("127.0.0.1", free_port(), "broker.example")
    made = new_project(tmp_path / "greenhouse", broker=broker, passphrase=SECRET, now=NOW, ntp=())
    expired = open_authority(made, SECRET).issue_broker(NAMES, now=NOW, valid=HOUR_AGO)
    Registry.open(made.registry_path).record(Issued("broker", expired.certificate))
    write_broker_certificate(made.broker_folder, expired)
    return made


@pytest.fixture
def mosquitto(made: Project) -> Iterator[subprocess.Popen[bytes]]:
    words = [*tools.mosquitto(), "-c", "mosquitto.conf"]
    with subprocess.Popen(words, cwd=made.broker_folder, stderr=subprocess.PIPE) as process:
        try:
            _until(process, b" running")
            yield process
        finally:
            process.terminate()
            process.communicate()


def _until(mosquitto: subprocess.Popen[bytes], wanted: bytes) -> None:
    assert mosquitto.stderr
    while wanted not in (line := mosquitto.stderr.readline()):
        assert line


def _run(made: Project, *words: str, secret: bytes = SECRET) -> Result:
    reading, writing = os.pipe()
    os.write(writing, secret + b"\n")
    os.close(writing)
    options = ["broker", "--project", str(made.root), "--passphrase-fd", str(reading), *words]
    try:
        return CliRunner().invoke(command, options)
    finally:
        os.close(reading)


def _climb(made: Project) -> Verdict:
    identity = open_authority(made, SECRET).issue("pump", now=NOW)
    settings = {**boardfiles.settings(made, "pump", NOW), "wifi": None}
    return climb.run(settings, boardfiles.identity_files(identity))


def _pair(made: Project) -> Pair:
    content = (made.broker_folder / BROKER_FILE).read_bytes()
    begin = content.index(b"-----BEGIN PRIVATE KEY")
    return content[begin:], content[:begin]


def _names(made: Project) -> list[str]:
    registry = Registry.open(made.registry_path)
    return brokerrenewal.present_names(made.broker_folder / BROKER_FILE, registry)


def _belong_together(pair: Pair) -> bool:
    key = load_pem_private_key(pair[0], None)
    return key.public_key() == x509.load_pem_x509_certificates(pair[1])[0].public_key()


def test_the_broker_takes_up_its_new_certificate_and_a_board_is_ready(
    made: Project, mosquitto: subprocess.Popen[bytes]
) -> None:
    before = _climb(made)
    assert before.verdict == "tls.server_certificate/expired"
    assert "firmshake ca broker" in before.fix
    old = _pair(made)
    result = _run(made)
    assert result.exit_code == 0, result.output
    mosquitto.send_signal(signal.SIGHUP)
    _until(mosquitto, b"Reloading config")
    assert _climb(made).verdict == "ready"
    new = _pair(made)
    assert new[0] != old[0]
    assert _belong_together(new)


def test_it_says_what_was_made_until_when_it_is_valid_and_what_is_next(made: Project) -> None:
    result = _run(made)
    ends = x509.load_pem_x509_certificates(_pair(made)[1])[0].not_valid_after_utc
    assert ends > NOW + timedelta(days=300)
    assert result.stdout.splitlines()[:3] == [
        f"{made.broker_folder / BROKER_FILE}: new certificate and key for the broker",
        f"  names        {', '.join(NAMES)}",
        f"  valid until  {ends:%Y-%m-%d %H:%M} UTC",
    ]
    assert "reload the broker: mosquitto takes it up on SIGHUP" in result.stderr
    assert SECRET.decode() not in result.output
    assert (made.broker_folder / BROKER_FILE).stat().st_mode & 0o777 == 0o600


def test_names_are_kept_and_added(made: Project) -> None:
    """Twice, so that a name that was added is one that is kept."""
    for _ in range(2):
        assert _run(made, "--name", "new.example", "--name", "2001:db8:0::1").exit_code == 0
        found = _names(made)
        assert sorted(found) == sorted([*NAMES, "new.example"])
    assert _run(made).exit_code == 0
    assert "new.example" in _names(made)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nnone\n"])
def test_a_certificate_that_is_lost_or_damaged_is_replaced(
    made: Project, content: bytes | None
) -> None:
    path = made.broker_folder / BROKER_FILE
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert _run(made).exit_code == 0
    assert _belong_together(_pair(made))
    assert _names(made) == NAMES[:2]


@pytest.mark.parametrize("secret", [b"incorrect horse", b""])
def test_a_wrong_passphrase_changes_nothing(made: Project, secret: bytes) -> None:
    old, there = _pair(made), sorted(made.broker_folder.iterdir())
    result = _run(made, secret=secret)
    assert isinstance(result.exception, Error)
    assert "passphrase" in result.exception.message
    assert (_pair(made), sorted(made.broker_folder.iterdir())) == (old, there)
    assert _run(made).exit_code == 0
    assert _pair(made) != old


def test_a_name_that_is_none_is_wrong_usage(made: Project) -> None:
    old = _pair(made)
    result = _run(made, "--name", "a b")
    assert isinstance(result.exception, Error)
    assert result.exception.status == 2
    assert _pair(made) == old


def test_a_file_that_cannot_take_its_place_leaves_the_old_pair(
    made: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to be had from a real disk for this file alone: the system's answer is put."""
    old, there = _pair(made), sorted(made.broker_folder.iterdir())
    real: Callable[[Path, Path], Path] = Path.replace
    refused: list[Path] = []

    def replace(path: Path, target: Path) -> Path:
        if target.name == BROKER_FILE and not refused:
            refused.append(target)
            raise PermissionError(13, "Permission denied", str(target))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    result = _run(made)
    assert isinstance(result.exception, Error)
    assert "permission denied" in result.exception.message
    assert (_pair(made), sorted(made.broker_folder.iterdir())) == (old, there)
    assert _run(made).exit_code == 0
    assert _belong_together(_pair(made))


def test_a_foreign_certificate_in_its_place_lends_no_names(made: Project) -> None:
    """The broker's own user may write the file."""
    other = new_project(
        made.root.parent / "other",
        broker=Broker("bank.example", 8883, "bank.example"),
        passphrase=SECRET,
        now=NOW,
    )
    foreign = (other.broker_folder / BROKER_FILE).read_bytes()
    (made.broker_folder / BROKER_FILE).write_bytes(foreign)
    assert _run(made).exit_code == 0
    assert "bank.example" not in _names(made)
    assert "broker.example" in _names(made)
