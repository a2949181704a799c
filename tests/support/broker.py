"""A real mosquitto on a port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from firmshake import tools
from firmshake.ca.identity import Identity
from support.servers import free_port

START_LIMIT_S = 60.0

# mosquitto's own setting is a minimum: OpenSSL's configuration caps it
_CAP = """openssl_conf = main
[main]
ssl_conf = ssl
[ssl]
system_default = cap
[cap]
MaxProtocol = TLSv1.2
"""


@contextlib.contextmanager
def mosquitto(
    folder: Path,
    identity: Identity | None,
    clients: bytes = b"",
    *,
    version: str = "1.2",
    acl: str = "pattern readwrite devices/%u/#\n",
    extra: str = "",
) -> Iterator[int]:
    """The port of a broker with this certificate that wants one of `clients` (PEM) from others.

    Without an identity it speaks plain MQTT.
    """
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", f"user {getpass.getuser()}", extra]
    if identity is None:
        lines.append("allow_anonymous true")
    else:
        (folder / "broker.crt").write_bytes(identity.chain_pem())
        (folder / "broker.key").write_bytes(identity.key_pem())
        (folder / "clients.crt").write_bytes(clients)
        (folder / "acl").write_text(acl)
        (folder / "acl").chmod(0o600)
        lines += [f"cafile {folder}/clients.crt", f"certfile {folder}/broker.crt"]
        lines += [f"keyfile {folder}/broker.key", f"acl_file {folder}/acl"]
        lines.append("require_certificate true")
        if "use_identity_as_username" not in extra:
            lines.append("use_identity_as_username true")
        lines += ["allow_anonymous false"]
        if version == "1.3":
            lines.append("tls_version tlsv1.3")
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    (folder / "openssl.cnf").write_text(_CAP if version == "1.2" else "")
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen(
            [*tools.mosquitto(), "-c", str(folder / "mosquitto.conf")],
            env={**os.environ, "OPENSSL_CONF": str(folder / "openssl.cnf")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(port, process, folder)
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, (folder / "mosquitto.log").read_text()
        time.sleep(0.02)
    raise AssertionError("mosquitto does not answer")
