"""A project made by `init`, under the real mosquitto and the real OpenSSL."""

import os
import pty
import resource
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.servers import free_port

from firmshake import tools
from firmshake.ca import authority
from firmshake.ca.authority import Authority
from firmshake.ca.identity import Identity
from firmshake.newproject import new_project, write_broker_certificate
from firmshake.project import Broker, Project, open_authority

SECRET = b"correct horse"
WAIT_S = 60.0  # for a reply that comes within milliseconds, unless something is wrong


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    broker = Broker("127.0.0.1", free_port(), "broker.example")
    folder = tmp_path_factory.mktemp("init") / "greenhouse"
    return new_project(folder, broker=broker, passphrase=SECRET, now=_now())


@pytest.fixture(scope="module")
def issuing(made: Project) -> Authority:
    return open_authority(made, SECRET)


@pytest.fixture(scope="module")
def mosquitto(made: Project) -> Iterator["subprocess.Popen[bytes]"]:
    """The broker, as the first lines of its configuration say to start it."""
    command = [*tools.mosquitto(), "-c", "mosquitto.conf"]
    with subprocess.Popen(command, cwd=made.broker_folder, stderr=subprocess.PIPE) as process:
        assert process.stderr
        said = b""
        # mosquitto says so after its port is open
        while b" running" not in said:
            line = process.stderr.readline()
            assert line, said.decode(errors="replace")
            said += line
        assert b"Warning: File" not in said  # files that others can read, or of another owner
        yield process
        process.terminate()
        process.communicate()


def _context(made: Project, identity: Identity | None, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(made.ca_folder / "root.crt"))
    if identity:
        own = folder / "own.pem"
        own.write_bytes(identity.key_pem() + identity.chain_pem())
        context.load_cert_chain(own)
    return context


class Session:
    """As much of an MQTT 3.1.1 client as shows who the broker lets do what."""

    def __init__(self, made: Project, context: ssl.SSLContext, name: str) -> None:
        address = (made.broker.host, made.broker.port)
        raw = socket.create_connection(address, WAIT_S)
        try:
            self._line = context.wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def connect(self, client_id: str) -> bytes:
        """Return the broker's answer to CONNECT."""
        self._send(0x10, _text("MQTT") + b"\x04\x02\x00\x3c" + _text(client_id))
        return self._line.recv(100)

    def granted(self, topic: str) -> bool:
        """Return whether what is published on `topic` comes back before the answer to a PINGREQ."""
        self._send(0x82, b"\x00\x01" + _text(topic) + b"\x00")
        self._send(0x30, _text(topic) + b"hello")
        self._send(0xC0, b"")
        seen = b""
        while not seen.endswith(b"\xd0\x00"):
            got = self._line.recv(100)
            assert got
            seen += got
        return b"hello" in seen

    def _send(self, kind: int, body: bytes) -> None:
        self._line.sendall(bytes((kind, len(body))) + body)


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


ACCEPTED = b"\x20\x02\x00\x00"


def _is_refused(made: Project, context: ssl.SSLContext) -> bool:
    """Return whether the broker ends the connection: in TLS 1.3 only after the handshake."""
    try:
        with Session(made, context, "broker.example") as session:
            return session.connect("pump") == b""
    except (ssl.SSLError, ConnectionError):
        return True


def test_a_device_of_this_ca_connects_and_has_its_own_topics_only(
    made: Project, issuing: Authority, mosquitto: object, tmp_path: Path
) -> None:
    context = _context(made, issuing.issue("pump", now=_now()), tmp_path)
    with Session(made, context, "broker.example") as session:
        assert session.connect("anything") == ACCEPTED
        assert session.granted("devices/pump/echo")
        assert not session.granted("devices/other/echo")
        assert not session.granted("echo")
        assert session.granted("devices/pump/a/b")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_device_of_another_ca_is_refused(
    made: Project, issuing: Authority, mosquitto: object, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    _, foreign = authority.create(made.name, now=_now())
    for issuer, refused in ((foreign, True), (issuing, False)):
        context = _context(made, issuer.issue("pump", now=_now()), tmp_path)
        context.maximum_version = context.minimum_version = version
        assert _is_refused(made, context) == refused


def test_without_a_certificate_or_with_the_brokers_nobody_gets_in(
    made: Project, issuing: Authority, mosquitto: object, tmp_path: Path
) -> None:
    assert _is_refused(made, _context(made, None, tmp_path))
    stolen = issuing.issue_broker(["broker.example"], now=_now())
    assert _is_refused(made, _context(made, stolen, tmp_path))
    assert not _is_refused(made, _context(made, issuing.issue("pump", now=_now()), tmp_path))


def test_a_device_cannot_take_over_the_session_of_another(
    made: Project, issuing: Authority, mosquitto: object, tmp_path: Path
) -> None:
    """The broker takes the common name for the client id, whatever the client calls itself."""
    pump = _context(made, issuing.issue("pump", now=_now()), tmp_path)
    thief = _context(made, issuing.issue("thief", now=_now()), tmp_path)
    with (
        Session(made, pump, "broker.example") as first,
        Session(made, thief, "broker.example") as second,
    ):
        assert first.connect("pump") == ACCEPTED
        assert second.connect("pump") == ACCEPTED
        assert first.granted("devices/pump/echo")


@pytest.mark.parametrize(("name", "good"), [("127.0.0.1", True), ("other.example", False)])
def test_the_broker_is_known_by_its_address_and_not_by_another_name(
    made: Project,
    issuing: Authority,
    mosquitto: object,
    tmp_path: Path,
    name: str,
    good: bool,
) -> None:
    context = _context(made, issuing.issue("pump", now=_now()), tmp_path)
    if good:
        with Session(made, context, name) as session:
            assert session.connect("pump") == ACCEPTED
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            Session(made, context, name)


def test_the_broker_takes_up_an_expired_certificate_and_a_good_one_when_told(
    made: Project,
    issuing: Authority,
    mosquitto: "subprocess.Popen[bytes]",
    tmp_path: Path,
) -> None:
    context = _context(made, issuing.issue("pump", now=_now()), tmp_path)
    now = _now()
    names = ["broker.example", "127.0.0.1"]
    hour_ago = (now - timedelta(hours=2), now - timedelta(hours=1))
    write_broker_certificate(
        made.broker_folder, issuing.issue_broker(names, now=now, valid=hour_ago)
    )
    _reload(mosquitto)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        Session(made, context, "broker.example")
    write_broker_certificate(made.broker_folder, issuing.issue_broker(names, now=now))
    _reload(mosquitto)
    with Session(made, context, "broker.example") as session:
        assert session.connect("pump") == ACCEPTED


def _reload(mosquitto: "subprocess.Popen[bytes]") -> None:
    mosquitto.send_signal(signal.SIGHUP)
    assert mosquitto.stderr
    while b"Reloading config" not in (line := mosquitto.stderr.readline()):
        assert line


def _openssl(*words: object, passphrase: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["openssl", *map(str, words)], input=passphrase + b"\n", capture_output=True, check=False
    )


def test_openssl_verifies_each_for_its_purpose_and_for_no_other(
    made: Project, issuing: Authority, tmp_path: Path
) -> None:
    device = tmp_path / "device.crt"
    device.write_bytes(issuing.issue("pump", now=_now()).chain_pem())
    broker = made.broker_folder / "broker.pem"
    chain = ["-x509_strict", "-CAfile", made.ca_folder / "root.crt"]
    chain += ["-untrusted", made.ca_folder / "intermediate.crt"]
    for leaf, right, wrong in (
        (device, "sslclient", "sslserver"),
        (broker, "sslserver", "sslclient"),
    ):
        assert _openssl("verify", *chain, "-purpose", right, leaf).returncode == 0
        assert _openssl("verify", *chain, "-purpose", wrong, leaf).returncode != 0
    assert _openssl("verify", *chain[:3], "-purpose", "sslclient", device).returncode != 0


@pytest.mark.parametrize("name", ["root.key", "intermediate.key"])
def test_openssl_opens_a_ca_key_with_its_passphrase_and_not_with_another(
    made: Project, name: str
) -> None:
    words = ("pkey", "-in", made.ca_folder / name, "-passin", "stdin", "-noout", "-check")
    assert _openssl(*words, passphrase=SECRET).returncode == 0
    assert _openssl(*words, passphrase=b"incorrect horse").returncode != 0


def _init(folder: Path, largest_file: int | None) -> "subprocess.CompletedProcess[str]":
    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    reading, writing = os.pipe()
    os.write(writing, SECRET + b"\n")
    os.close(writing)
    words = ["init", str(folder), "--broker", "a.example", "--passphrase-fd", str(reading)]
    try:
        return subprocess.run(
            [sys.executable, "-B", "-m", "firmshake", *words],
            preexec_fn=limit,
            pass_fds=[reading],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(reading)


@pytest.mark.parametrize("largest_file", [0, 600, 1300, 8192])
def test_a_disk_that_takes_no_more_leaves_nothing_and_two_lines(
    tmp_path: Path, largest_file: int
) -> None:
    """The system refuses to let a file grow, at the first, at a later one, and in SQLite."""
    run = _init(tmp_path / "a", largest_file)
    assert run.returncode == 1, run.stderr
    assert run.stdout == ""
    assert run.stderr.startswith("firmshake: ")
    assert len(run.stderr.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []
    control = _init(tmp_path / "a", None)
    assert control.returncode == 0, control.stderr


def test_at_a_terminal_the_passphrase_is_asked_for_twice_and_not_echoed(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        words = ["-B", "-m", "firmshake", "init", str(tmp_path / "a"), "--broker", "a.example"]
        os.execv(sys.executable, [sys.executable, *words])
    # what is typed, and what has to be asked before it
    typed = [(b"phrase: ", b"short"), (b"phrase: ", SECRET), (b"confirmation: ", b"another one")]
    typed += [(b"phrase: ", SECRET), (b"confirmation: ", SECRET)]
    typed += [(b"(Enter: the same): ", b"short"), (b"(Enter: the same): ", b"")]
    seen = b""
    for asked, answer in typed:
        seen = _until(terminal, asked)
        assert SECRET not in seen
        os.write(terminal, answer + b"\n")
    seen = _until(terminal, b"provision PORT)")
    assert SECRET not in seen
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(terminal)
    assert b"ENCRYPTED" in (tmp_path / "a" / "ca" / "root.key").read_bytes()


def _until(terminal: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 1000)
    return seen
