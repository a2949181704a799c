"""Two real TLS cores in one process, and every byte that they exchanged."""

from __future__ import annotations

import contextlib
import functools
import ssl
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from firmshake_agent.observer import Observer
from support import pki
from support.pki import NOW, Fleet
from support.servers import VERSIONS

NAME = "localhost"

# (from the server, bytes): what went over the wire between two turns
Piece = tuple[bool, bytes]


@dataclass(frozen=True)
class Pair:
    """What two cores did: the bytes in order, the cores, and the errors that ended them."""

    pieces: tuple[Piece, ...]
    client: ssl.SSLObject
    server: ssl.SSLObject
    client_error: ssl.SSLError | None
    server_error: ssl.SSLError | None

    def both_finished(self) -> bool:
        """Whether neither side gave up."""
        return self.client_error is None and self.server_error is None

    def observed(self, keep_certificate: bool = False) -> Observer:
        """An observer that saw all of it, each piece whole."""
        return observe(self.pieces, keep_certificate)


@functools.cache
def fleet() -> Fleet:
    """The fleet of these tests."""
    return pki.fleet()


def server_context(
    version: str, *, clients: Fleet | None = None, pem: bytes = b""
) -> ssl.SSLContext:
    """A server of one TLS version with the fleet's broker certificate, or that in `pem`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    _load(context, pem or fleet().broker.key_pem() + fleet().broker.chain_pem())
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.device.anchors_pem().decode())
    return context


def client_context(anchors: bytes = b"", *, shows: Fleet | None = None) -> ssl.SSLContext:
    """A client that trusts the fleet's CA, or `anchors` (PEM), and may show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=(anchors or fleet().device.anchors_pem()).decode())
    if shows is not None:
        _load(context, shows.device.key_pem() + shows.device.chain_pem())
    return context


def shake(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    *,
    name: str = NAME,
    session: ssl.SSLSession | None = None,
    say: bytes = b"",
) -> Pair:
    """Let the two talk until neither has more to say; then the client says `say`."""
    to_server, to_client, from_server, from_client = (ssl.MemoryBIO() for _ in range(4))
    serving = server.wrap_bio(to_server, from_server, server_side=True)
    asking = client.wrap_bio(to_client, from_client, server_hostname=name, session=session)
    pieces: list[Piece] = []
    client_error = server_error = None
    for _ in range(8):
        client_error = client_error or _turn(asking)
        pieces += _move(from_client, to_server, False)
        server_error = server_error or _turn(serving)
        pieces += _move(from_server, to_client, True)
    if say:
        asking.write(say)
        pieces += _move(from_client, to_server, False)
    return Pair(tuple(pieces), asking, serving, client_error, server_error)


def observe(pieces: tuple[Piece, ...], keep_certificate: bool = False) -> Observer:
    """An observer that was fed these pieces."""
    seen = Observer(keep_certificate)
    for from_server, data in pieces:
        (seen.received if from_server else seen.sent)(data)
    return seen


@functools.cache
def rsa_server(names: int = 1) -> tuple[bytes, bytes]:
    """(key and certificate, anchor), PEM: an RSA server that signed itself, with so many names."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    other = [f"host-{number}.{NAME}" for number in range(names - 1)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in [NAME, *other]]), False
        )
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    anchor = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + anchor, anchor


def _turn(core: ssl.SSLObject) -> ssl.SSLError | None:
    try:
        core.do_handshake()
        with contextlib.suppress(ssl.SSLWantReadError):
            core.read(1024)
    except ssl.SSLWantReadError:
        pass
    except ssl.SSLError as error:
        return error
    return None


def _move(source: ssl.MemoryBIO, target: ssl.MemoryBIO, from_server: bool) -> list[Piece]:
    data = source.read()
    target.write(data)
    return [(from_server, data)] if data else []


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    # OpenSSL through Python reads keys from named files only
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path)
