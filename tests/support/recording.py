"""The agent and its flight recorder on the real MicroPython, files in a folder; and a listener."""

from __future__ import annotations

import functools
import json
import os
import queue
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from firmshake import bundle, tools
from firmshake.ca.identity import Identity
from firmshake.event import Event
from firmshake.reader import Reader
from support import pki

LIMIT_S = 60.0  # only a broken test waits so long

WATCHER = "watcher"
ACL = f"pattern readwrite devices/%u/#\nuser {WATCHER}\ntopic read devices/+/diag\n"

_DEVICE = Path(__file__).parents[2] / "device"


class Board:
    """A board in a folder; `start` gives it power, `stop` takes it away.

    It climbs where it is aimed at, once for each time: before the next climb it waits for that.
    """

    def __init__(
        self, folder: Path, fleet: pki.Fleet, *, bits: int = 64, heap: str = "512k"
    ) -> None:
        self.folder = folder / "board"
        self.folder.mkdir()
        self._library = folder / "library"
        self._options = (bits, heap)
        self._process: subprocess.Popen[bytes] | None = None
        for path, data in _files().items():
            place = self._library / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        start = (_DEVICE / "main.py").read_text()
        (self._library / "start.py").write_text(
            start.replace("main()", f"main({str(self.folder)!r})")
        )
        for name, data in fleet.files().items():
            (self.folder / name).write_bytes(data)
        # who opens a pipe to read from it waits for somebody who writes
        self._settings = self.folder / "settings.json"
        os.mkfifo(self._settings)
        self._aiming: threading.Thread | None = None

    @property
    def file(self) -> Path:
        """The recorder's."""
        return self.folder / "recorder"

    def aim(self, port: int, **settings: object) -> None:
        """Which port the next climb goes to."""
        if self._aiming is not None:
            self._aiming.join(LIMIT_S)
            assert not self._aiming.is_alive(), "the climb before did not take place"
        text = json.dumps(pki.settings(port, **settings))
        self._aiming = threading.Thread(target=self._settings.write_text, args=(text,))
        self._aiming.start()

    def start(self) -> None:
        bits, heap = self._options
        self._reader = Reader()
        self._found: list[Event] = []
        self._process = subprocess.Popen(
            [
                *tools.micropython(bits),
                "-X",
                f"heapsize={heap}",
                str(self._library / "start.py"),
            ],
            env={**os.environ, "MICROPYPATH": str(self._library / "lib")},
            stdout=subprocess.PIPE,
        )

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The next event that is wanted."""
        assert self._process is not None
        assert self._process.stdout is not None
        while True:
            while self._found:
                if wanted(event := self._found.pop(0)):
                    return event
            data = os.read(self._process.stdout.fileno(), 4096)
            assert data, "the agent ended"
            found = self._reader.feed(data)
            self._found += [each for each in found if isinstance(each, Event)]

    def verdict(self) -> str:
        """Of the next climb, or of the session that ended."""
        event = self.until(lambda event: event.verdict is not None)
        assert event.verdict is not None
        return event.verdict

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
        if self._aiming is not None:
            # a climb that did not take place is called off
            reading = os.open(self._settings, os.O_RDONLY | os.O_NONBLOCK)
            self._aiming.join()
            os.close(reading)
            self._aiming = None


@functools.cache
def _files() -> dict[str, bytes]:
    return bundle.agent_files()


@contextmanager
def board(folder: Path, fleet: pki.Fleet, **options: Any) -> Iterator[Board]:
    """A board that is off."""
    made = Board(folder, fleet, **options)
    try:
        yield made
    finally:
        made.stop()


class Heard:
    """What came on devices/+/diag, in order."""

    def __init__(self) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.ready = queue.Queue[None]()

    def next(self) -> dict[str, Any]:
        """The next message, as JSON; it fits what is promised."""
        topic, payload = self.messages.get(timeout=LIMIT_S)
        assert len(payload) <= 1024
        told = json.loads(payload)
        assert isinstance(told, dict)
        assert told["v"] == 1
        assert topic == f"devices/{told['device']}/diag"
        return told


@contextmanager
def listener(folder: Path, port: int, watcher: Identity) -> Iterator[Heard]:
    """A real client with a certificate of its own, subscribed."""
    heard = Heard()
    own = folder / "watcher.pem"
    own.write_bytes(watcher.key_pem() + watcher.chain_pem())
    context = ssl.create_default_context(cadata=watcher.anchors_pem().decode())
    context.load_cert_chain(own)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=WATCHER)
    client.tls_set_context(context)
    client.on_connect = lambda *_: client.subscribe("devices/+/diag", 1)
    client.on_subscribe = lambda *_: heard.ready.put(None)
    client.on_message = lambda _, __, message: heard.messages.put((message.topic, message.payload))
    client.connect_timeout = LIMIT_S
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        heard.ready.get(timeout=LIMIT_S)
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()
