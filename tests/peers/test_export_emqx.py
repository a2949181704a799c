"""What `firmshake ca export emqx` says of lists: all of them at the one address, as PEM.

EMQX is not here. Its cache is made from Erlang's own, which RabbitMQ can be told to use: it fetches
what a certificate names, takes all lists in it, and looks for that of the certificate's issuer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import desk, exported
from support.commands import FD, run
from support.exported import Fleet
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
        {{crl_check, peer}}, {{crl_cache, {{ssl_crl_cache, {{internal, [{{http, 5000}}]}}}}}}
    ]}}]}}]."""
    conf = f"listeners.tcp = none\nlisteners.ssl.default = 127.0.0.1:{port}\n"
    node = tmp_path / "node"
    node.mkdir()
    with rabbitmq(node, conf, advanced=advanced):
        yield port


def with_root(fleet: Fleet, *words: str) -> None:
    fds = ("--passphrase-fd", FD, "--root-passphrase-fd", FD)
    secrets = (desk.PASSPHRASE, desk.PASSPHRASE)
    done = run("ca", *words, *fds, "--project", fleet.project.root, secrets=secrets)
    assert done.status == 0, done.err
