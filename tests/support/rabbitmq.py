"""A real RabbitMQ, started by an ordinary user with all that it writes below one folder."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from firmshake import tools
from support.servers import free_port

# its MQTT plugin alone waits six seconds for other nodes, and two may start on two busy cores
START_LIMIT_S = 120.0
STOP_LIMIT_S = 60.0

# its own limits, 5 s and 10 s, are for a machine that has time for its clients
_PATIENCE = """
ssl_handshake_timeout = 60000
handshake_timeout = 60000
"""


@contextlib.contextmanager
def rabbitmq(
    folder: Path, config: str, plugins: Sequence[str] = (), *, advanced: str = ""
) -> Iterator[Path]:
    """A node that is ready: every listener of `config` (rabbitmq.conf) takes connections.

    Yields the node's log. The caller says the ports: `free_port()` has them. `config` names every
    listener, as `listeners.tcp = none` does, since the default ports are another's. `advanced` is
    Erlang terms for what rabbitmq.conf cannot say.
    """
    program = tools.rabbitmq()
    epmd_port = free_port()
    environment = _environment(folder, plugins, epmd_port) | program.environment()
    (folder / "rabbitmq.conf").write_text(config + _PATIENCE)
    (folder / "advanced.config").write_text(advanced or "[].\n")
    log = folder / "rabbitmq.log"
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        # in the foreground, and before the node, which would start one that stays for ever
        stack.enter_context(_running([str(program.erlang / "epmd")], environment, output))
        _wait(lambda: _answers(epmd_port), log)
        node = stack.enter_context(_running([str(program.server)], environment, output))
        _wait(lambda: _is_ready(log, node), log)
        yield log


def _environment(folder: Path, plugins: Sequence[str], epmd_port: int) -> dict[str, str]:
    """A node's own places: none of the system's settings or another node's is read."""
    names = {
        "NODENAME": "firmshake@localhost",
        "DIST_PORT": str(free_port()),
        "CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "CONF_ENV_FILE": str(folder / "none"),
        "MNESIA_BASE": str(folder / "data"),
        "LOG_BASE": str(folder),
        "LOGS": "-",
        "PID_FILE": str(folder / "rabbitmq.pid"),
        "ENABLED_PLUGINS": ",".join(plugins),
        "ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        # nodes talk to each other over TCP: here to nobody
        "SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    kept = {name: v for name, v in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
    return {
        **kept,
        # where Erlang keeps the secret that nodes share
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        **{f"RABBITMQ_{name}": value for name, value in names.items()},
    }


@contextlib.contextmanager
def _running(
    command: list[str], environment: dict[str, str], output: BinaryIO
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_LIMIT_S)


def _wait(ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not ready():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _is_ready(log: Path, node: subprocess.Popen[bytes]) -> bool:
    text = log.read_text(errors="replace")
    assert node.poll() is None, text
    # said once every listener of every plugin is open
    return "Server startup complete" in text
