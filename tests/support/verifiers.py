"""Three verifiers that share no code: OpenSSL's command, cryptography's, mbedTLS in MicroPython.

Each takes an identity, of which it sees what is sent, the anchors it trusts, and the name that a
server is reached by, or None where the identity is a client's. It answers "" where it accepts it,
and else says why not.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import verification

from firmshake import tools
from firmshake.ca.identity import Identity
from firmshake.endpoint import is_address
from support import pki, servers

BOARD = Path(__file__).with_name("tls_board.py")
LIMIT_S = 60.0  # only a broken test waits so long

Verifier = Callable[[Identity, str | None], str]


def openssl(identity: Identity, server: str | None, crls: Sequence[bytes] = ()) -> str:
    """`openssl verify -x509_strict`; with `crls` (PEM) every certificate is looked up in them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "leaf").write_bytes(_pem([identity.certificate]))
        (folder / "chain").write_bytes(_pem(identity.chain))
        (folder / "anchors").write_bytes(identity.anchors_pem())
        (folder / "crls").write_bytes(b"".join(crls))
        command = ["openssl", "verify", "-x509_strict", "-purpose"]
        command += ["sslclient"] if server is None else ["sslserver", *_name_option(server)]
        command += ["-CRLfile", "crls", "-crl_check_all"] if crls else []
        # the system's own anchors are none of ours
        command += ["-no-CApath", "-no-CAstore", "-CAfile", "anchors"]
        command += [*(["-untrusted", "chain"] if identity.chain else []), "leaf"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    return "" if done.returncode == 0 else done.stderr.strip()


def cryptography(identity: Identity, server: str | None) -> str:
    """The verifier of `cryptography`, which follows the profile of the web's PKI."""
    store = verification.Store(identity.anchors)
    policy = verification.PolicyBuilder().store(store).time(datetime.now(UTC))
    try:
        if server is None:
            policy.build_client_verifier().verify(identity.certificate, list(identity.chain))
        else:
            subject = (
                x509.IPAddress(ipaddress.ip_address(server))
                if is_address(server)
                else x509.DNSName(server)
            )
            made = policy.build_server_verifier(subject)
            made.verify(identity.certificate, list(identity.chain))
    except verification.VerificationError as error:
        return str(error)
    return ""


def mbedtls(identity: Identity, server: str | None) -> str:
    """The real MicroPython's TLS, in a handshake with CPython's, which shows the identity."""
    anchor = identity.anchors[0].public_bytes(serialization.Encoding.DER)
    if server is None:
        lines = [anchor, *_board_server()]
        with servers.tcp(lambda sock: _show(sock, identity)) as port:
            return _board(["server", str(port)], lines)
    with tempfile.TemporaryDirectory() as folder:
        # 1.3, since under 1.2 OpenSSL signs by PSS with an RSA key, which MicroPython offers and
        # then refuses (docs/diagnosis.md); how it verifies certificates is the same in both
        made = servers.context(identity, Path(folder), version="1.3")
        with servers.tls(made, servers.hold) as port:
            return _board(["client", str(port), server], [anchor])


VERIFIERS: dict[str, Verifier] = {
    "openssl": openssl,
    "cryptography": cryptography,
    "mbedtls": mbedtls,
}


def client_subjects(identity: Identity) -> list[x509.GeneralName] | None:
    """What `cryptography` hands on of a client that it has accepted: its alternative names."""
    policy = verification.PolicyBuilder().store(verification.Store(identity.anchors))
    verified = policy.build_client_verifier().verify(identity.certificate, list(identity.chain))
    return verified.subjects


def _board(arguments: list[str], lines: Sequence[bytes]) -> str:
    done = subprocess.run(
        [*tools.micropython(), str(BOARD), *arguments],
        input="\n".join(line.hex() for line in lines),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    said = done.stdout.strip()
    assert said, done.stderr
    return "" if said == "accepted" else said


def _board_server() -> tuple[bytes, bytes]:
    """Key and certificate, DER, of the board that plays the server; the client looks at neither."""
    own = pki.self_signed("127.0.0.1")
    return own.key_der(), own.certificate.public_bytes(serialization.Encoding.DER)


def _show(sock: socket.socket, identity: Identity) -> None:
    """Play the client of a handshake, whose server is the one who connected."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # under 1.3 a client takes itself for connected before its certificate was looked at
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "client.pem"
        path.write_bytes(identity.key_pem() + identity.chain_pem())
        context.load_cert_chain(path)
    with contextlib.closing(context.wrap_socket(sock)) as wrapped:
        servers.hold(wrapped)


def _name_option(server: str) -> list[str]:
    return ["-verify_ip" if is_address(server) else "-verify_hostname", server]


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
