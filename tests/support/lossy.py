"""Climbs to a broker inside a network namespace whose loopback loses and delays packets.

`python lossy.py FOLDER VERSION [NETEM...]`, itself started by `unshare`; prints the verdict as
JSON. NETEM are the words of `tc qdisc ... netem`, such as `delay 40ms loss 5%`.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from firmshake import climb
from support import netns, pki
from support.broker import mosquitto

NO_NETEM = 3  # exit status: the kernel cannot lose packets for us


def command(folder: Path, version: str, *netem: str) -> list[str]:
    """The command that runs this in a namespace of its own."""
    return [*netns.unshare(), sys.executable, __file__, str(folder), version, *netem]


def main() -> None:
    """Set the link up, climb once, and print the verdict."""
    folder, version, *netem = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", netns.IFF_UP)
        fcntl.ioctl(any_socket, netns.SIOCSIFFLAGS, request)
    if netem:
        tc = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", *netem]
        if subprocess.run(tc, capture_output=True).returncode:
            sys.exit(NO_NETEM)
    fleet = pki.fleet()
    with mosquitto(Path(folder), fleet.broker, fleet.device.anchors_pem(), version=version) as port:
        verdict = climb.run(pki.settings(port, limit_ms=60000), fleet.files())
    sys.stdout.write(json.dumps(verdict.to_dict()))


if __name__ == "__main__":
    main()
