"""`firmshake fleet watch` as a user runs it, and devices that publish to a real broker."""

from __future__ import annotations

import contextlib
import json
import queue
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from firmshake.ca.identity import Identity
from firmshake.project import Project
from support import desk

LIMIT_S = 60.0  # only a broken test waits so long

FAILURE = {"seq": 3, "boot": 2, "n": 5, "verdict": "wifi/wrong_password", "stage": "wifi"}


def report(device_id: str, *records: dict[str, object]) -> bytes:
    """What a board publishes of itself."""
    made = {"v": 1, "device": device_id, "records": records, "ready": {"agent": "1.0"}}
    return json.dumps(made).encode()


class Client:
    """A real MQTT client with a certificate; `heard` is what came, in order."""

    def __init__(self, identity: Identity, port: int, folder: Path, client_id: str) -> None:
        own = folder / f"{id(self)}.pem"
        own.write_bytes(identity.key_pem() + identity.chain_pem())
        tls = ssl.create_default_context(cadata=identity.anchors_pem().decode())
        tls.load_cert_chain(own)
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._granted: queue.Queue[list[ReasonCode]] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self._client.tls_set_context(tls)
        self._client.on_message = lambda _, __, one: self.heard.put((one.topic, one.payload))
        self._client.on_subscribe = lambda _, __, ___, codes, ____: self._granted.put(codes)
        let_in = threading.Event()
        self._client.on_connect = lambda *_: let_in.set()
        self._client.connect_timeout = LIMIT_S
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert let_in.wait(LIMIT_S)

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, 1)
        self._granted.get(timeout=LIMIT_S)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish, and wait until the broker has it: whether it keeps it, it does not say."""
        self._client.publish(topic, payload, 1).wait_for_publish(LIMIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def client(
    identity: Identity, port: int, folder: Path, client_id: str = "whoever"
) -> Iterator[Client]:
    made = Client(identity, port, folder, client_id)
    try:
        yield made
    finally:
        made.close()


class Watcher:
    """`firmshake fleet watch --json` that runs; what it prints is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # else it was killed in the middle of it
                self._lines.put(json.loads(line))
        self._lines.put(None)

    def read_out(self) -> None:
        """Wait until all was read that a process has printed which is over."""
        self._reader.join(LIMIT_S)

    def next(self, **wanted: object) -> dict[str, Any]:
        """The next object in which all of that is so; a note is meant by a part of its text."""
        seen: list[dict[str, Any]] = []
        ends = time.monotonic() + LIMIT_S
        while True:
            left = ends - time.monotonic()
            assert left > 0, seen
            try:
                found = self._lines.get(timeout=left)
            except queue.Empty:
                continue
            assert found is not None, (seen, self.ended())
            seen.append(found)
            text = wanted.get("text")
            rest = {key: value for key, value in wanted.items() if key != "text"}
            if isinstance(text, str) and text not in found.get("text", ""):
                continue
            if rest.items() <= found.items():
                return found

    def ended(self) -> tuple[int, str]:
        """Its status and its standard error, once it has ended."""
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        return self.process.wait(LIMIT_S), said


@contextlib.contextmanager
def watching(made: Project, *arguments: str) -> Iterator[Watcher]:
    """The command, once it was given the passphrase; it is killed in the end."""
    command = [sys.executable, "-P", "-m", "firmshake", "fleet", "watch", "--json", *arguments]
    with desk.typed() as fd:
        process = subprocess.Popen(
            [*command, "--passphrase-fd", str(fd)],
            cwd=made.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[fd],
        )
    with process:
        watch = Watcher(process)
        try:
            yield watch
        finally:
            process.kill()
            watch.read_out()
