"""The registry of a large fleet, in a SQLite file and in PostgreSQL: plans, status, devices.

PostgreSQL is a real server on this machine, reached by a socket, with its own settings for what a
power cut may lose (nothing). Devices go through their whole life: claimed, certified, written,
proved, given back. As a program, this file is a station that does that.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from firmshake import fleettemplate, registrysetting
from firmshake.ca import certificate
from firmshake.ca.authority import create
from firmshake.fleet.planned import Planned
from firmshake.project import FLEET_FILE, REGISTRY_FILE
from firmshake.registry import Claim, Registry

FEW, MANY = 100_000, 1_000_000
DEVICES = 400
# runs of the whole command
COMMANDS = 11
# what a server does that is to keep what it said is kept
SAFE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}

Place = Path | str


def measure() -> dict[str, str]:
    """The figures by name."""
    from support.postgres import postgres  # of the tests, which the stations don't need

    figures = {}
    with tempfile.TemporaryDirectory() as name, postgres(**SAFE) as server:
        for count in (FEW, MANY):
            with _file(Path(name), count) as place:
                figures |= _measured("SQLite", place, count)
            with server.database(f"fleet{count}") as place:
                figures |= _measured("PostgreSQL", place, count)
    return figures


@contextmanager
def _file(folder: Path, count: int) -> Iterator[Path]:
    path = folder / f"{count}.sqlite"
    yield path
    path.unlink()


def _measured(where: str, place: Place, count: int) -> dict[str, str]:
    registry = Registry.create(place)
    planned = (Planned(f"pump-{number:07}", line=number) for number in range(count))
    took, run = _timed(lambda: registry.plan("bench", "digest", "bench.csv", planned))
    _age(registry, place)
    status = statistics.median(_timed(lambda: registry.status(run.id))[0] for _ in range(7))
    figures = {
        f"{where}, plan of {count:,}": f"{took:.1f} s, {count / took:,.0f} a second",
        f"{where}, status of {count:,}": f"{status * 1000:.0f} ms",
        f"{where}, all of `fleet status`, {count:,}": f"{_whole_command(place) * 1000:.0f} ms",
    }
    if count == FEW:
        for stations in (1, 8):
            rate = _rate(place, run.id, stations)
            many = f"{stations} station{'s' * (stations > 1)}"
            name = f"{where}, devices from claim to proof by {many}"
            figures[name] = f"{rate:,.0f} a second"
    return figures


def _whole_command(place: Place) -> float:
    """Seconds of `firmshake fleet status`, from the start of its process to the exit."""
    with tempfile.TemporaryDirectory() as name:
        _make_project(Path(name), place)
        # as it is once installed: what Python makes of the sources is kept
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(Path(name) / "cache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "firmshake", "fleet", "status", "--project", name]

        def run() -> None:
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

        run()
        return statistics.median(_timed(run)[0] for _ in range(COMMANDS))


def _make_project(folder: Path, place: Place) -> None:
    """As much of a project as `fleet status` looks at."""
    settings = fleettemplate.render(
        name="bench",
        prefix="pump",
        host="127.0.0.1",
        port=8883,
        server_name="127.0.0.1",
        ssid=None,
        password=None,
        ntp=(),
        keepalive_s=60,
    )
    if isinstance(place, str):
        settings = registrysetting.written(settings, place)
    else:
        (folder / REGISTRY_FILE).symlink_to(place)
    (folder / FLEET_FILE).write_text(settings)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


def _age(registry: Registry, place: Place) -> None:
    """Half of the fleet is done, and one in twenty has failed."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with registry._database.transaction() as connection:
        for statement in (
            "UPDATE slots SET status = CASE WHEN id % 20 = 0 THEN 'failed' ELSE 'proved' END,"
            " unique_id = 'u' || device_id WHERE id % 2 = 0",
            "UPDATE devices SET verdict = 'tls.server_certificate/expired', changed_at = :now,"
            " state = (SELECT status FROM slots WHERE run = 1 AND device_id = devices.device_id)"
            " WHERE device_id IN (SELECT device_id FROM slots WHERE run = 1 AND status <> 'open')",
        ):
            connection.execute(text(statement), {"now": now} if ":now" in statement else {})
    if isinstance(place, str):
        # as the server would do by itself a minute later
        import psycopg

        with psycopg.connect(place, autocommit=True) as raw:
            raw.execute("VACUUM ANALYZE")


def _rate(place: Place, run: int, stations: int) -> float:
    """Devices a second of all stations together, from when all are ready."""
    command = [sys.executable, __file__, str(place), str(run), str(DEVICES // stations)]
    children = [
        subprocess.Popen([*command, str(number)], stdin=-1, stdout=-1, text=True)
        for number in range(stations)
    ]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate()[0] for child in children]
    took = time.perf_counter() - began
    ids = [device for text in said for device in text.split()]
    assert len(ids) == len(set(ids)) == DEVICES, len(set(ids))
    return DEVICES / took


def _station(where: str, run: int, count: int, number: int) -> None:
    registry = Registry.open(where if "://" in where else Path(where))
    name = f"s{number}"
    now = datetime.now(UTC)
    _, authority = create("bench", now=now)
    key = certificate.new_key_of("ec-p256").public_key()
    print("ready", flush=True)
    sys.stdin.readline()
    for board in range(count):
        claim = registry.claim(
            run,
            unique_id=f"{name}-{board}-{time.time_ns()}",
            boards=["esp32"],
            station=name,
            session=name,
            lease_s=60.0,
        )
        assert isinstance(claim, Claim), claim
        device, token = claim.device_id, claim.token
        made = authority.certify(device, key, now=now)
        registry.record_issued(device, made, unique_id=claim.unique_id, token=token)
        serial = certificate.serial(made)
        registry.set_state(device, "written", serial_number=serial, token=token)
        registry.set_state(device, "proved", "ready", token=token)
        registry.release(claim, "proved")
        print(claim.device_id)


if __name__ == "__main__":
    _station(sys.argv[1], *map(int, sys.argv[2:]))
