"""What a case is served with: ports, certificates, OpenSSL contexts and mosquitto."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from firmshake import localbroker, newfile
from firmshake.faults import ports
from firmshake.faults.case import TLS12, TLS13
from firmshake.faults.pki import Pki, Signer
from firmshake.faults.ports import Handler, Ports
from firmshake.faults.tls import Shape, Stream, serving
from firmshake.localbroker import LocalBroker

# by client id: clients that are tried at the same moment share the one certificate, and must not
# take over each other's sessions
_ACL = "pattern readwrite devices/%c/#\n"

_VERSIONS = {TLS12: ssl.TLSVersion.TLSv1_2, TLS13: ssl.TLSVersion.TLSv1_3}

# mosquitto's own setting is a minimum: OpenSSL's configuration caps it
_CAP = b"""openssl_conf = main
[main]
ssl_conf = ssl
[ssl]
system_default = cap
[cap]
MaxProtocol = TLSv1.2
"""


class Bench:
    """Everything that the cases take; `close` ends it. Cases are served from several threads."""

    def __init__(self, host: str, folder: Path, pki: Pki) -> None:
        self.host = host
        self.pki = pki
        self._folder = folder
        self._ports = Ports(host)
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._numbers = itertools.count()

    def close(self) -> None:
        """End every server."""
        self._stack.close()
        self._ports.close()

    def listen(self, handle: Handler, *, at_once: bool = False) -> int:
        """A port whose connections `handle` gets; `at_once`, before any other is accepted."""
        return self._ports.open(handle, at_once=at_once)

    def keep(self, context: contextlib.AbstractContextManager[object]) -> None:
        """Leave `context`, which was entered, at the end."""
        with self._lock:
            self._stack.push(context)

    def context(
        self,
        version: str,
        signer: Signer | None = None,
        *,
        clients: bytes | None = None,
        crl: bytes = b"",
        ciphers: str = "",
        dh: bytes = b"",
    ) -> ssl.SSLContext:
        """A server of one TLS version that wants certificates of `clients` (PEM).

        Those of the fleet where that is None; none at all where it is empty.
        """
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = made.maximum_version = _VERSIONS[version]
        # what boards refuse as weak has to be offered first
        made.set_ciphers((ciphers or "DEFAULT") + ":@SECLEVEL=0")
        signer = signer or self.pki.good()
        self._named(signer.key_pem() + signer.chain_pem(), made.load_cert_chain)
        if dh:
            self._named(dh, made.load_dh_params)
        trusted = self.pki.client.anchors_pem() if clients is None else clients
        if trusted:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(cadata=trusted.decode())
        if crl:
            self._named(crl, made.load_verify_locations)
            made.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        return made

    def tls(
        self,
        context: ssl.SSLContext,
        then: Callable[[Stream], None],
        shape: Shape | None = None,
    ) -> int:
        """A TLS port."""
        return self.listen(serving(context, then, shape))

    def mosquitto(
        self,
        version: str,
        *,
        clients: bytes | None = None,
        crl: bytes = b"",
        acl: str = _ACL,
        lines: tuple[str, ...] = ("use_identity_as_username true",),
    ) -> int:
        """A real mosquitto. Raises Error where there is none."""
        folder = self._folder / f"mosquitto-{next(self._numbers)}"
        folder.mkdir(mode=0o700)
        port = localbroker.free_port()
        good = self.pki.good()
        files = {
            "broker.crt": good.chain_pem(),
            "broker.key": good.key_pem(),
            "clients.crt": clients or self.pki.client.anchors_pem(),
            "acl": acl.encode(),
            "openssl.cnf": _CAP if version == TLS12 else b"",
        }
        lines = (
            f"listener {port} {self.host}",
            f"user {getpass.getuser()}",
            "certfile broker.crt",
            "keyfile broker.key",
            "cafile clients.crt",
            "require_certificate true",
            "allow_anonymous false",
            "acl_file acl",
            *lines,
        )
        if version == TLS13:
            lines += ("tls_version tlsv1.3",)
        if crl:
            files["crl.pem"] = crl
            lines += ("crlfile crl.pem",)
        files["mosquitto.conf"] = ("\n".join(lines) + "\n").encode()
        for name, content in files.items():
            newfile.create(folder / name, content)
        environment = {**os.environ, "OPENSSL_CONF": str(folder / "openssl.cnf")}
        self.keep(LocalBroker(folder, self.host, port, environment).__enter__())
        return port

    def bound_only(self) -> int:
        """A port that is taken, and that nothing listens on."""
        taken = socket.socket(ports.family(self.host))
        self.keep(taken)
        taken.bind((self.host, 0))
        port: int = taken.getsockname()[1]
        return port

    def full(self) -> int:
        """A port whose queue is full: the kernel drops further SYNs, as a silent firewall does."""
        listener = socket.socket(ports.family(self.host))
        self.keep(listener)
        listener.bind((self.host, 0))
        listener.listen(0)
        for _ in range(4):
            waiting = socket.socket(ports.family(self.host))
            self.keep(waiting)
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        port: int = listener.getsockname()[1]
        return port

    def _named(self, content: bytes, load: Callable[[str], object]) -> None:
        """OpenSSL through Python reads named files only: one that is there for that moment."""
        path = self._folder / f"{next(self._numbers)}.pem"
        newfile.create(path, content)
        try:
            load(str(path))
        finally:
            path.unlink()
