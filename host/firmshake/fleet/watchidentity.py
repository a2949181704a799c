"""The watcher's certificate, and the TLS that it talks to the broker with.

The CA signs it at the start and is closed again: a program that listens to a network for weeks must
not hold the CA's key. So the certificate ends some days later, and the watcher with it. The key is
made here, is on no disk in clear, and is gone with the process.
"""

from __future__ import annotations

import os
import secrets
import ssl
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from firmshake import memfile, watcher
from firmshake.ca import certificate as certificates
from firmshake.ca.authority import Authority
from firmshake.ca.identity import Identity
from firmshake.errors import Error
from firmshake.project import Broker
from firmshake.registry import Issued, Registry

_HAS_MEMFD = memfile.HAS_MEMFD and os.path.isdir("/proc/self/fd")


def issue(authority: Authority, registry: Registry, *, now: datetime, days: int) -> Identity:
    """Return a new identity of the watcher, good for `days`, which the registry knows of.

    It is a client's, as the project's device certificates are, and no device's: its name and its
    URI are the watcher's. Raises Error where the CA issues nothing now.
    """
    profile = replace(authority.profile("device"), validity=timedelta(days=days))
    key = certificates.new_key(profile)
    made = certificates.signed(
        profile,
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, watcher.NAME)]),
        [x509.UniformResourceIdentifier(watcher.URI)],
        key.public_key(),
        certificates.window(profile, now, authority.certificate),
        authority,
    )
    registry.record(Issued("other", made))
    return Identity(key, made, chain=(authority.certificate,), anchors=(authority.root,))


class _Named(ssl.SSLContext):
    """A context that wants the broker's certificate to have one name, wherever it connects to."""

    server_name = ""

    def wrap_socket(self, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        named["server_hostname"] = self.server_name
        made = super().wrap_socket(*arguments, **named)
        try:
            made.do_handshake()  # paho-mqtt 2 would leave the socket open where it fails
        except BaseException:
            made.close()
            raise
        return made


def context(identity: Identity, broker: Broker, memfd: bool = _HAS_MEMFD) -> ssl.SSLContext:
    """Return what the watcher believes and shows: the project's root alone, and its certificate.

    Without `memfd`, the key is in a file for a moment, encrypted by a passphrase that nobody ever
    sees: Python's ssl takes a key from a file only. Raises Error where the broker is to be asked
    for by another name than its certificate has: that can't be checked here.
    """
    if broker.sni is not None and broker.sni != broker.server_name:
        raise Error(
            f"fleet watch can't ask for {broker.sni} and check for {broker.server_name}",
            hint="leave sni out of fleet.toml in a copy of the project to watch from",
        )
    made = _Named(ssl.PROTOCOL_TLS_CLIENT)  # checks the certificate and the name
    made.server_name = broker.server_name
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_verify_locations(cadata=identity.anchors_pem().decode("ascii"))
    if broker.alpn is not None:
        made.set_alpn_protocols([broker.alpn])
    if memfd:
        with memfile.offered([identity.key_pem() + identity.chain_pem()], memfd=True) as offer:
            made.load_cert_chain(offer.names[0])
    else:
        _load_encrypted(made, identity)
    return made


def _load_encrypted(made: ssl.SSLContext, identity: Identity) -> None:
    secret = secrets.token_urlsafe(32)
    key = identity.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(secret.encode("ascii"))
    )
    with tempfile.NamedTemporaryFile() as file:  # made exclusively, with mode 0600
        file.write(key + identity.chain_pem())
        file.flush()
        made.load_cert_chain(file.name, password=secret)
