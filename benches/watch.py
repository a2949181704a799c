"""What `firmshake fleet watch` keeps up with: messages a second, and verdicts written a second.

Reports of 10,000 devices go through the project's own mosquitto over TLS, as fast as it takes them
from a few publishers, which alone have the right to speak for all: ten thousand TLS connections
would measure this computer's handshakes. The watcher is the command's own: one process, one core.
Each report that was published has to arrive and the last of each device has to be in the registry.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

DEVICES, PUBLISHERS = 10_000, 2
BATCH = 5000
# after so long without a change, what has not come will not come
QUIET_S = 10
NAMES = [f"pump-{number:06}" for number in range(DEVICES)]
# what every device reports in turn: the last of them has to stand in the registry in the end
TURNS = (("wifi", "wifi/wrong_password"), ("dns", "dns/not_found"), ("tcp", "tcp/refused"))
# a report of the usual length
EVIDENCE = {"ssid": "greenhouse", "error": "x" * 60, "status": "201", "limit_ms": "20000"}
READY = {"agent": "1.0", "runtime": "micropython", "climb_ms": 2345, "rssi": -61, "free": 120000}


def measure() -> dict[str, str]:
    """The figures by name."""
    return _of_registries() | _of_the_whole()


def _report(name: str, number: int) -> bytes:
    stage, verdict = TURNS[number]
    record = {"seq": number, "boot": 1, "at": 1795132800, "n": number + 1, "verdict": verdict}
    record |= {"stage": stage, "ev": EVIDENCE}
    return json.dumps({"v": 1, "device": name, "records": [record], "ready": READY}).encode()


def _of_registries() -> dict[str, str]:
    from support.postgres import postgres

    from firmshake.registry import Registry

    figures = {}
    with (
        tempfile.TemporaryDirectory() as name,
        postgres(fsync="on", synchronous_commit="on") as server,
        server.database("bench") as url,
    ):
        places: Sequence[tuple[str, Path | str]] = (
            ("SQLite", Path(name) / "registry.sqlite"),
            ("PostgreSQL", url),
        )
        for label, place in places:
            first, again, count = _written(Registry.create(place))
            figures[f"verdicts into {label}"] = (
                f"{first:,.0f} a second, {again:,.0f} where there were some,"
                f" {count * 1000:.1f} ms to count the stages"
            )
    return figures


def _written(registry: object) -> tuple[float, float, float]:
    """Verdicts a second, new ones and in the place of others; and seconds for the histogram."""
    from firmshake.fleet import watchmessage
    from firmshake.fleet.planned import Planned
    from firmshake.registry import Registry

    assert isinstance(registry, Registry)
    now = datetime.now(UTC)
    registry.plan(
        "bench", "0" * 64, "bench", (Planned(name, line=n) for n, name in enumerate(NAMES, 2))
    )
    taken = []
    for number in range(2):
        verdicts = [watchmessage.parse(one, _report(one, number), now, "bench") for one in NAMES]
        begun = time.perf_counter()
        for start in range(0, DEVICES, BATCH):
            assert registry.put_diagnoses(verdicts[start : start + BATCH]) == set()
        taken.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    assert registry.failing_stages() == {TURNS[1][0]: DEVICES}
    return DEVICES / taken[0], DEVICES / taken[1], time.perf_counter() - begun


def _of_the_whole() -> dict[str, str]:
    from support import desk, exported, watching

    from firmshake.fleet.planned import Planned

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        fleet = exported.fleet(folder / "bench")
        planned = (Planned(one, line=n) for n, one in enumerate(NAMES, 2))
        fleet.registry.plan("bench", "0" * 64, "bench", planned)
        mouths = [_mouth(fleet, number, folder) for number in range(PUBLISHERS)]
        stack.enter_context(desk.broker(fleet.project))
        watch = stack.enter_context(watching.watching(fleet.project))
        watch.next(event="note", text="listening")
        before = _processor_s(watch.process.pid)
        begun = time.monotonic()
        port = str(fleet.project.broker.port)
        speakers = [
            subprocess.Popen([sys.executable, __file__, port, str(one), str(number)])
            for number, one in enumerate(mouths)
        ]
        assert [one.wait() for one in speakers] == [0] * PUBLISHERS
        published = time.monotonic() - begun
        total = DEVICES * len(TURNS)
        kept = _until_quiet(fleet.registry)
        taken = time.monotonic() - begun
        seconds = _processor_s(watch.process.pid) - before
        watch.process.terminate()
        counts = watch.next(event="counts")
        heard = counts["messages"]
        assert (heard, counts["refused"], kept) == (total, 0, DEVICES), counts
    return {
        "reports published": f"{total:,} in {published:.1f} s, {total / published:,.0f} a second",
        "reports heard": f"{heard:,}, all of them",
        "the watcher's processor": f"{seconds:.1f} s, {heard / seconds:,.0f} reports a second",
        "boards in the registry": f"{kept:,} of {DEVICES:,}, {taken:.1f} s after the first report",
    }


def _mouth(fleet: object, number: int, folder: Path) -> Path:
    """A client who may publish for every device: its key, certificate and root, in a file."""
    from support.exported import Fleet

    assert isinstance(fleet, Fleet)
    made = fleet.device(f"bench-{number}")
    path = folder / f"mouth-{number}.pem"
    path.touch(0o600)
    path.write_bytes(made.key_pem() + made.chain_pem() + made.anchors_pem())
    with (fleet.project.broker_folder / "acl").open("a") as rules:
        rules.write(f"user bench-{number}\ntopic write devices/+/diag\n")
    return path


def _until_quiet(registry: object) -> int:
    """How many boards have their last verdict, once all have, or no more come."""
    from firmshake.registry import Registry

    assert isinstance(registry, Registry)
    stages: Mapping[str, int] = {}
    since = time.monotonic()
    while stages.get(TURNS[-1][0]) != DEVICES and time.monotonic() - since < QUIET_S:
        found = registry.failing_stages()
        if found != stages:
            stages, since = found, time.monotonic()
        time.sleep(0.1)
    return stages.get(TURNS[-1][0], 0)


def _processor_s(pid: int) -> float:
    """What a process has used of a core, in seconds (proc(5): fields 14 and 15 of stat)."""
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _speak(port: int, own: str, number: int) -> None:
    """Publish the reports of every PUBLISHERS-th device, so often."""
    import ssl

    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(own)
    tls.load_cert_chain(own)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"bench-{number}")
    client.tls_set_context(tls)
    client.max_inflight_messages_set(20)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for turn in range(len(TURNS)):
        for name in NAMES[number::PUBLISHERS]:
            last = client.publish(f"devices/{name}/diag", _report(name, turn), 1)
        last.wait_for_publish()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    _speak(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
