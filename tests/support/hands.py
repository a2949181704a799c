"""Workers that do not work, each in its way: what a station hires in a test of its crew."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from multiprocessing.connection import Connection

from cryptography import x509

from firmshake.errors import Error
from firmshake.fleet import message, worker
from firmshake.fleet.worker import Job
from firmshake.provision import Outcome

# of one that is killed by then
FOR_EVER_S = 600.0
SECRET = "what nobody is to see"


def polite(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Ask, tell what was answered, and wait."""
    pipe.send_bytes(message.encode({"ask": "x"}))
    answer = message.decode(pipe.recv_bytes())
    pipe.send_bytes(message.encode({"tell": "heard", "answer": answer}))
    time.sleep(FOR_EVER_S)


def half_way(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Say half a message, and wait."""
    os.write(pipe.fileno(), struct.pack("!i", 100) + b'{"tell": ')
    time.sleep(FOR_EVER_S)


def either(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """As the job says."""
    work = half_way if job.target == "half_way" else polite
    work(job, pipe, line, esptool)


def greedy(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Ask without an end, and read nothing."""
    while True:
        pipe.send_bytes(message.encode({"ask": "x"}))


def boundless(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Say more at once than anything needs."""
    pipe.send_bytes(b" " * (message.LONGEST + 1))
    time.sleep(FOR_EVER_S)


def silent(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Close the line, and wait."""
    pipe.close()
    time.sleep(FOR_EVER_S)


def broken(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Say something, and end by a fault of memory."""
    pipe.send_bytes(message.encode({"tell": "last"}))
    os.kill(os.getpid(), signal.SIGSEGV)


def lost(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Say something, and end without having said how it went."""
    pipe.send_bytes(message.encode({"tell": "last"}))
    os._exit(3)


def faulty(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Work, with a fault."""

    def provision(*arguments: object, **named: object) -> Outcome:
        raise x509.InvalidVersion(SECRET, 7)

    worker.provision = provision
    worker.work(job, pipe, line, esptool)


def wary(job: Job, pipe: Connection, line: Connection, esptool: socket.socket | None) -> None:
    """Work, in an environment with a secret."""

    def provision(*arguments: object, **named: object) -> Outcome:
        raise Error(f"{'some' if 'PGPASSWORD' in os.environ else 'no'} secrets")

    os.environ["PGPASSWORD"] = SECRET
    worker.provision = provision
    worker.work(job, pipe, line, esptool)
