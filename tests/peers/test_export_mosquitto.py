"""`firmshake ca export mosquitto` under the real mosquitto, started with it as it is."""

from __future__ import annotations

import getpass
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import exported
from support.exported import Fleet
from support.mqttsession import ACCEPTED, Session, context, is_refused
from support.readme import Shell, check_trial

from firmshake import tools
from firmshake.ca import authority

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return exported.fleet(tmp_path / "greenhouse")


@pytest.fixture(params=["relative", "absolute"])
def folder(request: pytest.FixtureRequest, fleet: Fleet, tmp_path: Path) -> Path:
    """What was exported, to be started in its own folder, or with --at from anywhere."""
    made = tmp_path / "exported"
    at = ["--at", str(made)] if request.param == "absolute" else []
    fleet.export("mosquitto", made, ["--with-key", *at])
    conf = made / "mosquitto.conf"
    # with --at it names Debian's user for the broker, who is not on every computer
    conf.write_text(conf.read_text().replace("user mosquitto", f"user {getpass.getuser()}"))
    return made


@pytest.fixture
def mosquitto(folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    conf = folder / "mosquitto.conf"
    absolute = f"certfile {folder}/broker.pem" in conf.read_text()
    command = [*tools.mosquitto(), "-c", str(conf) if absolute else "mosquitto.conf"]
    where = tmp_path if absolute else folder
    with subprocess.Popen(command, cwd=where, stderr=subprocess.PIPE) as process:
        try:
            assert b"Warning: File" not in _until(process, b" running")
            yield process
        finally:
            process.terminate()
            process.communicate()


def _until(mosquitto: subprocess.Popen[bytes], wanted: bytes) -> bytes:
    assert mosquitto.stderr
    said = b""
    while wanted not in said:
        line = mosquitto.stderr.readline()
        assert line, said.decode(errors="replace")
        said += line
    return said


def _reload(mosquitto: subprocess.Popen[bytes]) -> None:
    mosquitto.send_signal(signal.SIGHUP)
    _until(mosquitto, b"Reloading config")


def test_a_device_has_its_own_topics_and_no_other(
    fleet: Fleet, mosquitto: object, tmp_path: Path
) -> None:
    tls = context(tmp_path, fleet.root, fleet.device("pump"))
    with Session(fleet.project.broker.port, tls) as session:
        assert session.connect("whatever it says") == ACCEPTED
        assert session.granted("devices/pump/echo", "devices/pump/end")
        assert session.granted("devices/pump/a/b", "devices/pump/end")
        assert not session.granted("devices/other/echo", "devices/pump/end")
        assert not session.granted("echo", "devices/pump/end")


def test_nobody_else_gets_in(fleet: Fleet, mosquitto: object, tmp_path: Path) -> None:
    port, now = fleet.project.broker.port, datetime.now(UTC)
    _, foreign = authority.create(fleet.project.name, now=now)
    assert is_refused(port, context(tmp_path, fleet.root, None), "pump")
    assert is_refused(port, context(tmp_path, fleet.root, foreign.issue("pump", now=now)), "pump")
    assert not is_refused(port, context(tmp_path, fleet.root, fleet.device("pump")), "pump")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_revoked_device_is_refused_after_a_reload_and_the_others_go_on(
    *,
    fleet: Fleet,
    folder: Path,
    mosquitto: subprocess.Popen[bytes],
    tmp_path: Path,
    version: ssl.TLSVersion,
) -> None:
    port = fleet.project.broker.port
    stolen, kept = (fleet.device(name) for name in ("stolen", "kept"))
    stolen_tls, kept_tls = (context(tmp_path, fleet.root, one) for one in (stolen, kept))
    stolen_tls.maximum_version = stolen_tls.minimum_version = version
    with Session(port, kept_tls) as connected, Session(port, stolen_tls) as before:
        assert connected.connect("kept") == before.connect("stolen") == ACCEPTED
        resumed = before.line.session
        fleet.revoke(stolen)
        _replace(fleet.project.broker_folder / "crl.pem", folder / "crl.pem")
        _reload(mosquitto)
        assert is_refused(port, stolen_tls, "stolen")
        assert is_refused(port, stolen_tls, "stolen", resumed)
        assert not is_refused(port, kept_tls, "kept")


def test_it_is_tried_out_as_the_readme_says(
    fleet: Fleet, folder: Path, mosquitto: object, tmp_path: Path
) -> None:
    check_trial(folder / "README.txt", Shell(tmp_path / "bin"), fleet.project.root)


def test_without_its_list_it_does_not_start(folder: Path) -> None:
    (folder / "crl.pem").unlink()
    done = subprocess.run(
        [*tools.mosquitto(), "-c", "mosquitto.conf"], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert b"crl.pem" in done.stderr


def _replace(source: Path, target: Path) -> None:
    """As the README says: in one step."""
    shutil.copy(source, target.with_suffix(".new"))
    target.with_suffix(".new").replace(target)
