"""The tests' own RabbitMQ: an ordinary user's, told who a device is by its certificate."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from support.pki import DEVICE, fleet
from support.rabbitmq import rabbitmq
from support.servers import free_port

from firmshake import tools

LIMIT_S = 60.0  # only a broken test waits so long

CONFIG = """\
listeners.tcp = none
mqtt.listeners.tcp = none
mqtt.listeners.ssl.1 = 127.0.0.1:{port}
mqtt.ssl_cert_login = true
ssl_cert_login_from = common_name
auth_mechanisms.1 = EXTERNAL
ssl_options.cacertfile = {folder}/ca.crt
ssl_options.certfile = {folder}/broker.crt
ssl_options.keyfile = {folder}/broker.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
load_definitions = {folder}/definitions.json
"""
DEFINITIONS = {
    "users": [{"name": DEVICE, "password_hash": "", "tags": []}],
    "vhosts": [{"name": "/"}],
    "permissions": [{"user": DEVICE, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
}


def test_a_device_logs_in_by_its_certificate_and_nothing_of_the_broker_is_left(
    tmp_path: Path,
) -> None:
    made, port = fleet(), free_port()
    for name, content in {
        "ca.crt": made.device.anchors_pem(),
        "broker.crt": made.broker.chain_pem(),
        "broker.key": made.broker.key_pem(),
        "device.crt": made.device.chain_pem(),
        "device.key": made.device.key_pem(),
        "definitions.json": json.dumps(DEFINITIONS).encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
    plugins = ["rabbitmq_mqtt", "rabbitmq_auth_mechanism_ssl"]
    with rabbitmq(tmp_path, CONFIG.format(port=port, folder=tmp_path), plugins):
        command = [*tools.mosquitto_client("pub"), "-h", "127.0.0.1", "-p", str(port)]
        command += ["--cafile", f"{tmp_path}/ca.crt", "-t", "t", "-m", "m", "-q", "1"]
        own = ["--cert", f"{tmp_path}/device.crt", "--key", f"{tmp_path}/device.key"]
        assert subprocess.run([*command, *own], timeout=60).returncode == 0
        assert subprocess.run(command, timeout=60, stderr=subprocess.DEVNULL).returncode != 0
        assert _processes_of(tmp_path)
    # what the node started ends when it sees that the node is gone
    ends = time.monotonic() + LIMIT_S
    while left := _processes_of(tmp_path):
        assert time.monotonic() < ends, left
        time.sleep(0.05)


def _processes_of(folder: Path) -> list[str]:
    """The command lines of the processes whose home is this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
