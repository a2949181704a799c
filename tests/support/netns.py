"""Runs a command in a network namespace with nothing in it but a DNS server of ours.

`python netns.py nxdomain|silent COMMAND...`, itself started by `unshare`: a name server on
127.0.0.1:53 that knows no name, or never answers.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading

SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def within(dns: str) -> list[str]:
    """The command to start another command in such a namespace."""
    return [*unshare(), sys.executable, __file__, dns]


def allowed() -> bool:
    """Whether this machine lets us have one: a plain container does not."""
    return subprocess.run([*unshare(), "true"], capture_output=True).returncode == 0


def unshare() -> list[str]:
    """The command that gives another one network and mounts of its own."""
    command = ["unshare", "--net", "--mount"]
    if os.getuid():
        command += ["--user", "--map-root-user"]
    return command


def _answer_nothing(server: socket.socket, dns: str) -> None:
    while True:
        query, client = server.recvfrom(512)
        if dns == "nxdomain":
            # the query itself, as a response (QR), recursion available, RCODE 3 (RFC 1035, 4.1.1)
            flags = struct.unpack(">H", query[2:4])[0] | 0x8083
            server.sendto(query[:2] + struct.pack(">H", flags) + query[4:], client)


def main() -> None:
    """Set the namespace up, run the command, and exit with its status."""
    dns, *command = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(server, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=_answer_nothing, args=(server, dns), daemon=True).start()
    # what is never answered is waited for briefly
    limit_s = 1 if dns == "silent" else 30
    with tempfile.NamedTemporaryFile("w") as resolv:
        resolv.write(f"nameserver 127.0.0.1\noptions timeout:{limit_s} attempts:1\n")
        resolv.flush()
        target = os.path.realpath("/etc/resolv.conf")
        subprocess.run(["mount", "--bind", resolv.name, target], check=True)
        sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
