"""What `firmshake ca export emqx` says of lists: all of them at the one address, as PEM.

EMQX is not here. Its cache is made from Erlang's own, which RabbitMQ can be told to use: it fetches
what a certificate names, takes all lists in it, and looks for that of the certificate's issuer.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import exported
from support.exported import Fleet
from support.mqttsession import WAIT_S, context
from support.rabbitmq import rabbitmq
from support.servers import free_port


@contextlib.contextmanager
def published(path: Path) -> Iterator[str]:
    """The address at which the file is, as it stands at that moment."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/fleet.crl"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = exported.fleet(tmp_path / "greenhouse")
    with published(made.project.broker_folder / "crl.pem") as url:
        profiles = made.project.root / "profiles.toml"
        before, device = profiles.read_text().split("[device]")
        told = device.replace('crl_url = ""', f'crl_url = "{url}"')
        profiles.write_text(f"{before}[device]{told}")
        yield made


@pytest.fixture
def port(fleet: Fleet, tmp_path: Path) -> Iterator[int]:
    """A TLS listener that checks devices as EMQX does; whoever gets in may do nothing."""
    folder = fleet.project.broker_folder
    port = free_port()
    advanced = f"""[{{rabbit, [{{ssl_options, [
        {{certfile, "{folder}/broker.pem"}}, {{keyfile, "{folder}/broker.pem"}},
        {{cacertfile, "{folder}/ca.crt"}},
        {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}}, {{depth, 2}},
        {{reuse_sessions, false}},
        {{crl_check, peer}}, {{crl_cache, {{ssl_crl_cache, {{internal, [{{http, 60000}}]}}}}}}
    ]}}]}}]."""
    conf = f"listeners.tcp = none\nlisteners.ssl.default = 127.0.0.1:{port}\n"
    node = tmp_path / "node"
    node.mkdir()
    with rabbitmq(node, conf, advanced=advanced):
        yield port


def gets_in(port: int, tls: ssl.SSLContext) -> bool:
    """Whether the broker goes on after the handshake, to greet an AMQP client."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), WAIT_S) as raw,
            tls.wrap_socket(raw, server_hostname="127.0.0.1") as line,
        ):
            line.sendall(b"AMQP\x00\x00\x09\x01")
            return line.recv(1) == b"\x01"  # a frame of a method: connection.start
    except (ssl.SSLError, ConnectionError):
        return False


def test_one_address_with_all_lists_does_for_every_ca(
    fleet: Fleet, port: int, tmp_path: Path
) -> None:
    def device(name: str) -> ssl.SSLContext:
        return context(tmp_path, fleet.root, fleet.device(name))

    before = device("before")
    assert gets_in(port, before)
    stolen = fleet.device("stolen")
    old = fleet.renew_ca()
    after = device("after")
    assert gets_in(port, before)
    assert gets_in(port, after)
    assert gets_in(port, context(tmp_path, fleet.root, stolen))
    fleet.revoke(stolen)
    assert not gets_in(port, context(tmp_path, fleet.root, stolen))
    assert gets_in(port, before)
    fleet.revoke_ca(old)
    assert not gets_in(port, before)
    assert gets_in(port, after)
