"""What is seen of real servers: OpenSSL through Python's ssl, and mosquitto."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from support import chains, desk, pki, servers
from support.broker import mosquitto
from support.chains import Made, make

from firmshake import tools
from firmshake.cli.doctor import command
from firmshake.serverview import firmwares, probe, reach, resumption, shake, suites, view
from firmshake.serverview.reach import Server
from firmshake.serverview.view import ServerView
from firmshake_agent.line import format_line

NAME = "localhost"
LIMIT_S = 60.0  # for a server that answers; where none does, what is waited for is less
BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def fleet() -> pki.Fleet:
    return pki.fleet()


@pytest.fixture(scope="module")
def root() -> Made:
    return make("root", ca=True)


def look(
    port: int,
    files: dict[str, bytes],
    *,
    limit_s: float = LIMIT_S,
    name: str = NAME,
    **more: Any,
) -> ServerView:
    server = Server("127.0.0.1", port, name, limit_s)
    return view.look(server, files, datetime.now(UTC), **more)


def context(pem: bytes, folder: Path, ciphers: str = "", **versions: Any) -> ssl.SSLContext:
    """An OpenSSL server that takes anything, but for what is said."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
    # what OpenSSL takes by itself is the system's choice
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what is old is what is tried here
        for setting, value in versions.items():
            setattr(made, setting, value)
    path = folder / "server.pem"
    path.write_bytes(pem)
    made.load_cert_chain(path)
    return made


def seen(made: ssl.SSLContext, ca: Made, **more: Any) -> ServerView:
    with servers.tls(made, servers.hold) as port:
        return look(port, {"ca.der": ca.der}, **more)


def codes(found: ServerView) -> list[str]:
    return [one.code for one in found.findings]


def boards(found: ServerView) -> list[bool]:
    assert found.offered is not None
    return [choice.agreed for choice in found.offered.choices]


# mosquitto, as a fleet has it


@pytest.mark.parametrize("version", ["1.2", "1.3", "any"])
def test_a_broker_in_order(fleet: pki.Fleet, tmp_path: Path, version: str) -> None:
    with mosquitto(tmp_path, fleet.broker, fleet.device.anchors_pem(), version=version) as port:
        found = look(port, fleet.files())
    speaks = [] if version == "1.3" else [0x0303]
    speaks += [] if version == "1.2" else [0x0304]
    assert found.offered is not None
    assert sorted(found.offered.versions) == speaks
    assert boards(found) == [version != "1.3"] * 2
    assert codes(found) == (["protocol_version"] if version == "1.3" else [])
    assert found.chain is not None
    assert (found.chain.verified, found.chain.path) == (True, (0, 1))
    assert found.same_chain is (True if version == "any" else None)
    assert found.acceptance is not None
    assert (found.acceptance.required, set(found.acceptance.taken.values())) == (True, {""})
    resumes = {one.way: one.resumes for one in found.resumptions}
    assert resumes["TLS 1.2 by ticket"] is (True if 0x0303 in speaks else None)
    assert resumes["TLS 1.3 by ticket"] is (True if 0x0304 in speaks else None)
    for one in found.resumptions:
        assert not one.resumes or 0 < one.short_bytes < one.full_bytes


@BOTH
def test_a_broker_that_refuses_the_clients_certificate(
    fleet: pki.Fleet, tmp_path: Path, version: str
) -> None:
    other = pki.fleet("other")
    files = other.files() | {"ca.der": fleet.files()["ca.der"]}
    with mosquitto(tmp_path, fleet.broker, fleet.device.anchors_pem(), version=version) as port:
        found = look(port, files)
    assert "client_unknown_ca" in codes(found)
    assert found.acceptance is not None
    assert "unknown_ca" in found.acceptance.taken[f"TLS {version}"]
    assert found.chain is not None
    assert found.chain.verified


def test_what_the_server_says_late_is_heard_too(
    fleet: pki.Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says it before it answers our goodbye."""
    monkeypatch.setattr(shake, "_LINGER_S", -3600.0)  # before goodbye, nothing is waited for
    other = pki.fleet("other").files() | {"ca.der": fleet.files()["ca.der"]}
    with mosquitto(tmp_path, fleet.broker, fleet.device.anchors_pem(), version="1.3") as port:
        refused, taken = look(port, other), look(port, fleet.files())
    assert "client_unknown_ca" in codes(refused)
    assert codes(taken) == ["protocol_version"]
    assert {one.way for one in taken.resumptions if one.resumes} == {resumption.V13_TICKET}


@BOTH
def test_without_a_certificate_it_is_said_that_one_is_wanted(
    fleet: pki.Fleet, tmp_path: Path, version: str
) -> None:
    files = {"ca.der": fleet.files()["ca.der"]}
    with mosquitto(tmp_path, fleet.broker, fleet.device.anchors_pem(), version=version) as port:
        found = look(port, files)
    assert "missing" in codes(found)
    assert found.acceptance is not None
    assert (found.acceptance.asks, found.acceptance.required) == (True, True)
    assert found.chain is not None
    assert found.chain.verified


def test_a_revoked_client_is_refused_and_is_on_the_list(fleet: pki.Fleet, tmp_path: Path) -> None:
    issuing = Made(fleet.authority.certificate, fleet.authority.key)
    listed = chains.crl(issuing, fleet.device.certificate.serial_number)
    (tmp_path / "list.crl").write_bytes(listed.public_bytes(Encoding.PEM))
    broker = mosquitto(
        *(tmp_path, fleet.broker, fleet.device.chain_pem() + fleet.device.anchors_pem()),
        extra=f"crlfile {tmp_path}/list.crl",
    )
    with broker as port:
        found = look(port, fleet.files(), crl=listed)
    assert "revoked" in codes(found)
    assert found.revocation is not None
    assert (found.revocation.signed, list(found.revocation.revoked)) == (True, ["client"])


# OpenSSL, misconfigured


def test_the_control_of_those_that_follow(root: Made, tmp_path: Path) -> None:
    found = seen(context(make(NAME, root, names=[NAME]).pem(), tmp_path), root)
    assert (codes(found), boards(found)) == ([], [True, True])
    assert found.acceptance is not None
    assert (found.acceptance.asks, found.acceptance.required) == (False, False)


def test_a_missing_intermediate(root: Made, tmp_path: Path) -> None:
    middle = make("middle", root, ca=True)
    leaf = make(NAME, middle, names=[NAME])
    known = [middle.certificate]
    assert codes(seen(context(leaf.pem(), tmp_path), root, known=known)) == ["incomplete_chain"]
    assert codes(seen(context(leaf.pem(middle), tmp_path), root, known=known)) == []


def test_suites_that_no_board_has(root: Made, tmp_path: Path) -> None:
    made = context(
        make(NAME, root, names=[NAME]).pem(),
        tmp_path,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        maximum_version=ssl.TLSVersion.TLSv1_2,
    )
    found = seen(made, root)
    assert found.offered is not None
    assert [suites.name(one) for one in found.offered.suites[0x0303]] == [
        "ECDHE-ECDSA-CHACHA20-POLY1305"
    ]
    assert boards(found) == [False, False]
    assert codes(found) == ["no_shared_cipher"]
    assert found.findings[0].text.startswith("ESP32 and Pico W cannot connect")


def test_a_suite_that_one_kind_of_board_has(root: Made, tmp_path: Path) -> None:
    made = context(
        make(NAME, root, names=[NAME]).pem(),
        tmp_path,
        "ECDHE-ECDSA-AES256-CCM8:@SECLEVEL=0",
        maximum_version=ssl.TLSVersion.TLSv1_2,
    )
    assert boards(seen(made, root)) == [True, False]


def test_a_curve_that_no_board_has(root: Made, tmp_path: Path) -> None:
    made = context(make(NAME, root, names=[NAME]).pem(), tmp_path, "ECDHE+AESGCM")
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ecdh_curve("X25519")
    found = seen(made, root)
    assert boards(found) == [False, False]
    assert "no elliptic curve" in found.findings[0].text


def test_old_versions_and_an_rsa_key(root: Made, tmp_path: Path) -> None:
    leaf = make(NAME, root, names=[NAME], key=rsa.generate_private_key(65537, 2048))
    oldest = ssl.TLSVersion.TLSv1
    found = seen(context(leaf.pem(), tmp_path, "ALL:@SECLEVEL=0", minimum_version=oldest), root)
    assert found.offered is not None
    assert found.offered.versions == (0x0304, 0x0303, 0x0302, 0x0301)
    assert "old_version" in codes(found)
    assert boards(found) == [True, True]


def test_a_server_without_tickets_or_cache(root: Made, tmp_path: Path) -> None:
    made = context(make(NAME, root, names=[NAME]).pem(), tmp_path)
    made.options |= ssl.OP_NO_TICKET
    made.num_tickets = 0
    found = seen(made, root)
    resumes = {one.way: one.resumes for one in found.resumptions}
    assert resumes["TLS 1.2 by ticket"] is False
    assert resumes["TLS 1.3 by ticket"] is False


def test_key_and_certificate_that_do_not_match_are_not_shown(
    root: Made, fleet: pki.Fleet, tmp_path: Path
) -> None:
    files = fleet.files() | {"key.der": pki.fleet("other").files()["key.der"], "ca.der": root.der}
    made = context(make(NAME, root, names=[NAME]).pem(), tmp_path)
    with servers.tls(made, servers.hold) as port:
        found = look(port, files)
    assert codes(found) == ["key_mismatch"]
    assert found.acceptance is not None
    assert not found.acceptance.shown


def doctored(port: int, trusted: bytes, fleet: pki.Fleet, folder: Path) -> dict[str, Any]:
    """What the command says of the server with the fleet's own certificate."""
    (folder / "ca.crt").write_bytes(trusted)
    (folder / "d.crt").write_bytes(fleet.device.chain_pem())
    (folder / "d.key").write_bytes(fleet.device.key_pem())
    given = ["--ca", f"{folder}/ca.crt", "--cert", f"{folder}/d.crt", "--key", f"{folder}/d.key"]
    done = CliRunner().invoke(command, [f"localhost:{port}", *given, "--json"])
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("good", [True, False])
def test_a_server_of_another_ca_sees_no_clients_certificate(
    fleet: pki.Fleet, root: Made, tmp_path: Path, good: bool
) -> None:
    """The agent refuses it, and what comes after must not show what the agent did not."""
    made = context(make(NAME, root, names=[NAME]).pem(), tmp_path)
    made.verify_mode = ssl.CERT_OPTIONAL
    made.load_verify_locations(cadata=fleet.device.anchors_pem().decode())
    shown: list[bool] = []

    def note(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        shown.append(bool(connection.getpeercert()))
        servers.hang_up(connection)

    trusted = root.certificate.public_bytes(Encoding.PEM) if good else fleet.device.anchors_pem()
    with servers.tls(made, note) as port:
        found = doctored(port, trusted, fleet, tmp_path)
    assert shown
    assert any(shown) == good
    server = found["server"]
    assert ("client" in server["missing"]) != good
    assert server["client"]["accepted"]["shown"] == good
    assert server["client"]["identity"]["match"]
    if not good:
        assert found["verdict"] == "tls.server_certificate/unknown_ca"
        assert "missing" not in [one["code"] for one in server["findings"]]


def test_alpn_and_sni_go_into_the_hellos(root: Made, tmp_path: Path) -> None:
    made = context(make(NAME, root, names=[NAME]).pem(), tmp_path)
    made.set_alpn_protocols(["mqtt"])
    asked: set[str | None] = set()
    spoken: set[str | None] = set()

    def hear(_socket: object, name: str | None, _context: object) -> None:
        asked.add(name)

    def note(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        spoken.add(connection.selected_alpn_protocol())
        servers.hold(connection)

    made.sni_callback = hear
    with servers.tls(made, note) as port:
        server = Server("127.0.0.1", port, NAME, LIMIT_S, sni="gate.example", alpn="mqtt")
        found = view.look(server, {"ca.der": root.der}, datetime.now(UTC))
    assert codes(found) == []
    assert spoken == {"mqtt"}
    # the last is what stock boards ask, who know one name
    assert asked == {"gate.example", NAME}


def test_nothing_but_handshakes_is_sent(root: Made, tmp_path: Path) -> None:
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))

    made = context(make(NAME, root, names=[NAME]).pem(), tmp_path)
    with servers.tls(made, listen) as port:
        look(port, {"ca.der": root.der})
    assert heard
    assert set(heard) == {b""}


# no TLS, or none that ends


@pytest.mark.parametrize(
    ("handle", "limit_s", "cause", "words"),
    [
        (
            servers.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            *(LIMIT_S, "tls.client_hello/not_tls", "TLS"),
        ),
        (servers.hold, 0.3, "tls.client_hello/timeout", "silent"),
    ],
)
def test_a_port_that_is_no_tls_server(
    root: Made, handle: servers.Handler, limit_s: float, cause: str, words: str
) -> None:
    with servers.tcp(handle) as port:
        found = look(port, {"ca.der": root.der}, limit_s=limit_s)
    assert found.cause == cause
    assert words in found.missing["server"]
    assert found.chain is None


@pytest.mark.parametrize("handle", [servers.hang_up, servers.reset, servers.reset_after_hello])
def test_a_port_that_closes_leaves_nothing_to_see(root: Made, handle: servers.Handler) -> None:
    with servers.tcp(handle) as port:
        found = look(port, {"ca.der": root.der})
    assert found.chain is None
    assert found.missing or boards(found) == [False, False]


def test_a_port_that_nobody_listens_on(root: Made) -> None:
    found = look(servers.free_port(), {"ca.der": root.der})
    assert found.cause == "tcp/refused"


def test_a_port_that_does_not_answer(root: Made) -> None:
    with servers.full_port() as port:
        assert look(port, {"ca.der": root.der}, limit_s=0.3).cause == "tcp/timeout"


def test_a_name_that_does_not_exist(root: Made) -> None:
    server = Server("nothing.invalid", 8883, NAME, 5)
    found = view.look(server, {"ca.der": root.der}, datetime.now(UTC))
    assert found.cause.startswith("dns/")


def test_a_server_that_falls_silent_after_its_first_word(
    root: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = context(make(NAME, root, names=[NAME]).pem(), tmp_path)
    count = 0
    silent = threading.Event()

    def wait(opened: socket.socket, until: float, to_write: bool = False) -> bool:
        """The time is over once the server is silent, and not before."""
        while not reach.wait(opened, time.monotonic() + 0.05, to_write):
            if silent.is_set():
                return False
        return True

    for module in (probe, shake):
        monkeypatch.setattr(module, "wait", wait)

    def stall(connection: socket.socket) -> None:
        nonlocal count
        count += 1
        if count > 4:
            silent.set()
            servers.hold(connection)
        with made.wrap_socket(connection, server_side=True) as wrapped:
            servers.hold(wrapped)

    with servers.tcp(stall) as port:
        found = look(port, {"ca.der": root.der})
    assert found.offered is not None
    assert "silent" in found.offered.stopped
    assert {one.resumes for one in found.resumptions} == {None}
    assert found.chain is not None


def waiting(count: list[int]) -> servers.Handler:
    """Say nothing, and count the connections."""

    def handle(connection: socket.socket) -> None:
        count.append(1)
        servers.hold(connection)

    return handle


def test_a_version_at_which_the_server_is_silent_is_waited_for_once() -> None:
    count: list[int] = []
    with servers.tcp(waiting(count)) as port:
        tried = resumption.probe(Server("127.0.0.1", port, NAME, 0.3), {})
    assert {one.said for one, _ in tried} == {"the server fell silent"}
    assert len(count) == 2


def test_where_the_ladder_met_with_silence_the_doctor_does_not_wait_again(
    root: Made, tmp_path: Path
) -> None:
    count: list[int] = []
    ca = tmp_path / "ca.pem"
    ca.write_bytes(root.pem())
    with servers.tcp(waiting(count)) as port:
        arguments = [f"127.0.0.1:{port}", "--ca", str(ca), "--timeout", "1", "--json"]
        found = json.loads(CliRunner().invoke(command, arguments).stdout)
    assert found["verdict"] == found["server"]["cause"] == "tls.client_hello/timeout"
    assert len(count) == 1


# a real board's hello


def test_the_order_of_suites_is_that_of_real_mbedtls() -> None:
    hello = _hello_of_micropython()
    offered = [hello[at] << 8 | hello[at + 1] for at in range(0, len(hello), 2)]
    for firmware in firmwares.FIRMWARES:
        assert [one for one in offered if one in firmware.suites] == list(firmware.suites)


def _hello_of_micropython() -> bytes:
    """The suites in the hello of Debian's MicroPython, whose mbedTLS has all of them."""
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)

        def listen() -> None:
            with listener.accept()[0] as connection:
                said.append(connection.recv(4096))

        thread = threading.Thread(target=listen)
        thread.start()
        code = (
            "import socket, tls\n"
            "s = socket.socket()\n"
            f"s.connect(socket.getaddrinfo('127.0.0.1', {listener.getsockname()[1]})[0][-1])\n"
            "c = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)\n"
            "c.verify_mode = tls.CERT_NONE\n"
            "try: c.wrap_socket(s, server_hostname='localhost')\n"
            "except OSError: pass\n"
        )
        subprocess.run([*tools.micropython(), "-c", code], check=True, timeout=LIMIT_S)
        thread.join()
    # record 5, message 4, version 2, random 32, session id behind its length
    at = 43 + 1 + said[0][43]
    size = int.from_bytes(said[0][at : at + 2], "big")
    return said[0][at + 2 : at + 2 + size]


# as it is typed


@pytest.fixture(scope="module")
def lab(fleet: pki.Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The arguments for a broker that is in order, with files as a user has them."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "ca.crt").write_bytes(fleet.device.anchors_pem())
    (folder / "d.crt").write_bytes(fleet.device.chain_pem())
    (folder / "d.key").write_bytes(fleet.device.key_pem())
    with mosquitto(folder, fleet.broker, fleet.device.anchors_pem()) as port:
        yield [
            *(f"localhost:{port}", "--ca", f"{folder}/ca.crt"),
            *("--cert", f"{folder}/d.crt", "--key", f"{folder}/d.key"),
            *("--timeout", f"{LIMIT_S}"),
        ]


def test_json_has_it_beside_the_verdict(lab: list[str]) -> None:
    done = CliRunner().invoke(command, [*lab, "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"]) == (0, "ready")
    server = found["server"]
    assert server["findings"] == []
    assert [board["connects"] for board in server["boards"]] == [True, True]
    assert server["chain"]["verified"]
    assert "PRIVATE" not in done.stdout


def test_people_see_the_ladder_first_and_then_the_broker(lab: list[str]) -> None:
    done = CliRunner().invoke(command, lab, catch_exceptions=False)
    lines = done.stdout.splitlines()
    heads = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert heads[heads.index("What") :] == [
        *("What", "✓", "boards", "Pico" if "Pico" in heads else "client"),
        *("chain", "accepts", "resumes"),
    ]
    assert all(len(line) <= 80 for line in lines)


def test_quick_leaves_it_out(lab: list[str]) -> None:
    done = CliRunner().invoke(command, [*lab, "--quick"], catch_exceptions=False)
    assert done.stdout.splitlines()[-1].startswith("✓ ready")
    done = CliRunner().invoke(command, [*lab, "--quick", "--json"], catch_exceptions=False)
    assert "server" not in json.loads(done.stdout)


def test_a_crl_that_is_none_is_wrong_usage(lab: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.crl").write_text("junk")
    done = desk.firmshake(*("doctor", *lab, "--crl", "x.crl"), cwd=tmp_path, passphrase=None)
    assert desk.complaint(done, 2)[0] == "x.crl is no CRL"


def log_of(cause: str) -> str:
    fields = [("cause", cause), ("took", 5000), ("host", "h"), ("addr", "a"), ("port", 1)]
    lines = [("identity", "start", []), ("tcp", "fail", fields)]
    return "".join(format_line(number, number, *line) + "\n" for number, line in enumerate(lines))


def test_a_log_and_the_doctor_side_by_side(lab: list[str]) -> None:
    from firmshake.cli.explain import command as explain

    given = ["-", "--doctor", *lab]
    done = CliRunner().invoke(explain, given, input=log_of("timeout"), catch_exceptions=False)
    assert done.exit_code == 1
    text = " ".join(done.stdout.split())
    assert "the board sees tcp/timeout" in text
    assert "this computer sees ready" in text
    assert "therefore The board's network, not the broker" in text
    done = CliRunner().invoke(explain, [*given, "--json"], input=log_of("timeout"))
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["comparison"]["board"] == "tcp/timeout"
    assert last["doctor"]["server"]["findings"] == []
