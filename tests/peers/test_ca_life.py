"""The life of a CA through its commands, before a real mosquitto and the boards' own agent."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from support.commands import FD, Done, run, snapshot
from support.servers import free_port

from firmshake import boardfiles, climb, project, tools
from firmshake.ca.certificate import serial, serial_text
from firmshake.ca.identity import Identity
from firmshake.newproject import new_project
from firmshake.project import Broker, Project
from firmshake.registry import Registry

PHRASE, OTHER = b"correct horse", b"battery staple"
NOW = datetime.now(UTC)
READY = "ready"
# what the board's own agent says where a broker refuses its certificate as revoked
# under TLS 1.3 MicroPython hides the alert that says so, and CPython shows it
REVOKED = "tls.client_certificate/revoked"
REVOKE = ("revoke", "--reason", "keyCompromise", "--yes")
RENEW = ("intermediate", "--root-passphrase-fd", FD)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pattern") / "greenhouse"
    broker = Broker("127.0.0.1", 8883, "broker.example")
    return new_project(folder, broker=broker, passphrase=PHRASE, now=NOW, ntp=()).root


@pytest.fixture
def made(pattern: Path, tmp_path: Path) -> Project:
    """A project whose broker has a port of its own."""
    folder, port = Path(shutil.copytree(pattern, tmp_path / "greenhouse")), str(free_port())
    for name in ("fleet.toml", "broker/mosquitto.conf"):
        text = (folder / name).read_text()
        assert "8883" in text
        (folder / name).write_text(text.replace("8883", port))
    return project.load(folder)


class Mosquitto:
    """A running broker, which can be told to read its files again."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._until(b" running")

    def reload(self) -> None:
        """Send SIGHUP, and wait until it has been taken."""
        self._process.send_signal(signal.SIGHUP)
        self._until(b"Reloading config")

    def _until(self, wanted: bytes) -> None:
        assert self._process.stderr
        while wanted not in (line := self._process.stderr.readline()):
            assert line


@pytest.fixture
def mosquitto(made: Project) -> Iterator[Mosquitto]:
    words = [*tools.mosquitto(), "-c", "mosquitto.conf"]
    with subprocess.Popen(words, cwd=made.broker_folder, stderr=subprocess.PIPE) as process:
        try:
            yield Mosquitto(process)
        finally:
            process.terminate()
            process.communicate()


def _ca(made: Project, name: str, *words: object, secrets: tuple[bytes, ...] = ()) -> Done:
    """Run a command that must do its work."""
    fds = ("--passphrase-fd", FD) if secrets else ()
    done = run("ca", name, "--project", made.root, *fds, *words, secrets=secrets)
    assert done.status == 0, done
    return done


def _issue(made: Project, device_id: str, secret: bytes = PHRASE) -> Identity:
    """What provisioning does: a certificate for a board, in the registry."""
    identity = project.open_authority(made, secret).issue(device_id, now=datetime.now(UTC))
    Registry.open(made.registry_path).record_issued(device_id, identity.certificate)
    return identity


def _climb(made: Project, identity: Identity, device_id: str, runtime: str = "micropython") -> str:
    settings = {**boardfiles.settings(made, device_id, NOW), "wifi": None}
    return climb.run(settings, boardfiles.identity_files(identity), runtime=runtime).verdict


def _refused(made: Project, identity: Identity, device_id: str) -> str:
    """The verdict of a board that must not get in, on either runtime."""
    assert _climb(made, identity, device_id) == "tls.client_certificate/rejected"
    return _climb(made, identity, device_id, "cpython")


def _serials(made: Project) -> set[str]:
    """The serial numbers on the list that the broker reads."""
    text = (made.broker_folder / "crl.pem").read_bytes()
    parts = [b"-----BEGIN" + part for part in text.split(b"-----BEGIN")[1:]]
    lists = [x509.load_pem_x509_crl(part) for part in parts]
    return {serial_text(one.serial_number) for found in lists for one in found}


def test_a_revoked_device_is_refused_once_the_broker_has_read_the_list_and_another_is_ready(
    made: Project, mosquitto: Mosquitto
) -> None:
    pump, valve = _issue(made, "pump"), _issue(made, "valve")
    assert [_climb(made, pump, "pump"), _climb(made, valve, "valve")] == [READY, READY]
    done = _ca(made, *REVOKE, "pump", secrets=(PHRASE,))
    assert serial(pump.certificate) in done.out
    assert "SIGHUP" in done.err
    assert _climb(made, pump, "pump") == READY
    mosquitto.reload()
    assert _refused(made, pump, "pump") == REVOKED
    assert _climb(made, valve, "valve") == READY


@pytest.mark.parametrize("how", [(), ("--keep-key",)])
def test_boards_of_the_old_and_of_the_new_intermediate_are_ready(
    made: Project, mosquitto: Mosquitto, how: tuple[str, ...]
) -> None:
    old = _issue(made, "old")
    _ca(made, *RENEW, *how, secrets=(PHRASE,) * 2)
    mosquitto.reload()
    new = _issue(made, "new")
    assert new.chain != old.chain
    assert [_climb(made, old, "old"), _climb(made, new, "new")] == [READY, READY]
    assert (new.chain[0].public_key() == old.chain[0].public_key()) == bool(how)


@pytest.mark.parametrize("how", [(), ("--keep-key",)])
def test_a_device_of_a_retired_intermediate_can_be_revoked(
    made: Project, mosquitto: Mosquitto, how: tuple[str, ...]
) -> None:
    old, other = _issue(made, "old"), _issue(made, "other")
    _ca(made, *RENEW, *how, secrets=(PHRASE,) * 2)
    new = _issue(made, "new")
    _ca(made, *REVOKE, "old", secrets=(PHRASE,))
    mosquitto.reload()
    assert _refused(made, old, "old") == REVOKED
    assert [_climb(made, other, "other"), _climb(made, new, "new")] == [READY, READY]


def test_a_revoked_intermediate_locks_out_its_boards_and_what_its_thief_signs_and_no_others(
    made: Project, mosquitto: Mosquitto
) -> None:
    """Although mosquitto looks into no list but that of a certificate's own issuer."""
    stolen = project.open_authority(made, PHRASE)
    old = _issue(made, "old")
    _ca(made, *RENEW, secrets=(PHRASE,) * 2)
    mosquitto.reload()
    new, forged = _issue(made, "new"), stolen.issue("new", now=datetime.now(UTC))
    assert [_climb(made, one, "new") for one in (new, forged)] == [READY, READY]
    words = ("--root-passphrase-fd", FD, serial(stolen.certificate))
    _ca(made, *REVOKE, *words, secrets=(PHRASE,) * 2)
    mosquitto.reload()
    assert _serials(made) == {serial(stolen.certificate)}
    for refused in (old, forged):
        assert _refused(made, refused, "new").startswith("tls.client_certificate/")
    assert _climb(made, new, "new") == READY
    _ca(made, "crl", secrets=(PHRASE,))
    mosquitto.reload()
    assert _climb(made, forged, "new") != READY
    assert "wrong" not in _ca(made, "audit").out
    assert "revoked  greenhouse issuing CA" in _ca(made, "show").out


def test_provisioning_a_board_again_supersedes_what_it_had_before(
    made: Project, mosquitto: Mosquitto
) -> None:
    registry = Registry.open(made.registry_path)
    first = _issue(made, "pump")
    registry.set_state("pump", "written")
    second = _issue(made, "pump")
    _ca(made, "crl", secrets=(PHRASE,))
    assert serial(first.certificate) not in _serials(made)  # until the new one is on the board
    registry.set_state("pump", "written")
    assert "superseded" in _ca(made, "list", "--device", "pump", "--revoked").out
    _ca(made, "crl", secrets=(PHRASE,))
    assert _serials(made) == {serial(first.certificate)}
    mosquitto.reload()
    assert _refused(made, first, "pump") == REVOKED
    assert _climb(made, second, "pump") == READY


def test_another_passphrase_opens_what_the_old_one_opens_no_more(made: Project) -> None:
    _ca(made, *RENEW, secrets=(PHRASE,) * 2)
    done = _ca(made, "passphrase", "--new-passphrase-fd", FD, secrets=(PHRASE, OTHER))
    assert re.findall(r"(intermediate\S*): encrypted", done.out) == [
        "intermediate.key",
        "intermediate-2.key",
    ]
    words = ("ca", "broker", "--project", made.root, "--passphrase-fd", FD)
    assert "wrong passphrase" in run(*words, secrets=(PHRASE,)).message
    assert run(*words, secrets=(OTHER,)).status == 0
    for secrets, opens in (((OTHER, OTHER), False), ((OTHER, PHRASE), True)):
        done = run("ca", *RENEW, *words[2:], secrets=secrets)
        assert (done.status == 0) == opens, "the root's key has the old one still"


def test_the_roots_passphrase_is_changed_apart_from_the_others(
    made: Project, tmp_path: Path
) -> None:
    stick = tmp_path / "root.key"
    (made.ca_folder / "root.key").rename(stick)
    words = ("passphrase", "--root", "--root-key", stick, "--root-passphrase-fd", FD)
    done = run(
        *("ca", *words, "--new-passphrase-fd", FD, "--project", made.root),
        secrets=(PHRASE, OTHER),
    )
    assert (done.status, done.out) == (0, f"{stick}: encrypted with the new passphrase\n")
    assert stick.stat().st_mode & 0o777 == 0o600
    _ca(made, *RENEW, "--root-key", stick, secrets=(PHRASE, OTHER))
    assert (
        "wrong passphrase"
        in run(
            *("ca", *RENEW, "--root-key", stick, "--passphrase-fd", FD, "--project", made.root),
            secrets=(PHRASE, PHRASE),
        ).message
    )


# what is printed for programs


def _objects(done: Done) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_list_and_show_print_json_that_says_what_is_in_the_certificates(made: Project) -> None:
    pump = _issue(made, "pump")
    _ca(made, *REVOKE, "pump", secrets=(PHRASE,))
    every = _objects(_ca(made, "list", "--json"))
    assert [one["kind"] for one in every] == ["root", "intermediate", "broker", "device"]
    last = every[-1]
    assert last["device_id"] == last["subject"] == "pump"
    assert last["serial_number"] == serial(pump.certificate)
    assert datetime.fromisoformat(str(last["not_after"])) == pump.certificate.not_valid_after_utc
    assert last["reason"] == "keyCompromise"
    assert _objects(_ca(made, "list", "--json", "--revoked")) == [last]
    assert _objects(_ca(made, "list", "--json", "--kind", "device")) == [last]
    assert _objects(_ca(made, "list", "--json", "--device", "valve")) == []
    shown = json.loads(_ca(made, "show", "--json").out)
    assert [ca["role"] for ca in shown["cas"]] == ["root", "issuing"]
    assert [ca["key_is_here"] for ca in shown["cas"]] == [True, True]
    assert [ca["serial_number"] for ca in shown["cas"]] == [
        one["serial_number"] for one in every[:2]
    ]
    assert shown["certificates"]["device"] == {"good": 0, "revoked": 1, "expired": 0}
    (made.ca_folder / "root.key").unlink()
    assert "kept offline" in _ca(made, "show").out


def test_what_expires_is_listed_until_it_is_replaced(made: Project) -> None:
    assert _ca(made, "expiring").out == ""
    due = _ca(made, "expiring", "--within", "400d")
    assert "broker" in due.out
    assert "firmshake ca broker" in due.err
    assert "firmshake ca crl" in due.err
    kinds = [one["kind"] for one in _objects(_ca(made, "expiring", "--within", "2y", "--json"))]
    assert kinds == ["broker", "crl"]
    before = NOW + timedelta(days=400)
    _ca(made, "broker", secrets=(PHRASE,))
    again = _objects(_ca(made, "expiring", "--within", "400d", "--json"))
    brokers = [one for one in again if one["kind"] == "broker"]
    assert len(brokers) == 1
    assert datetime.fromisoformat(str(brokers[0]["not_after"])) < before


def test_the_log_is_chained_as_its_help_says(made: Project) -> None:
    """Every hash is computed here anew, from what was printed and nothing else."""
    _issue(made, "pump")
    _ca(made, *REVOKE, "pump", secrets=(PHRASE,))
    lines = _ca(made, "log").out.splitlines()
    before = "0" * 64
    for number, line in enumerate(lines, 1):
        sha256, text = line.split(" ", 1)
        assert sha256 == hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
        assert json.loads(text)["seq"] == number
        before = sha256
    events = [json.loads(line.split(" ", 1)[1])["event"] for line in lines]
    assert events == ["issued"] * 3 + ["crl"] * 2 + ["issued", "revoked", "crl"]
    assert _ca(made, "audit").out.splitlines()[-1] == f"head {len(lines)}:{before}"
    assert _ca(made, "log", "--after", "6").out.splitlines() == lines[6:]


def test_reading_changes_nothing(made: Project) -> None:
    before = snapshot(made.root)
    for words in (("show",), ("list",), ("expiring",), ("log",), ("audit",)):
        _ca(made, *words)
    assert snapshot(made.root) == before
