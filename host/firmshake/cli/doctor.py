"""`firmshake doctor`: the board's own ladder, climbed from this computer."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from firmshake.cli import passphrase
from firmshake.cli.parameters import DeviceId, Seconds
from firmshake.cli.printer import Printer, terminal
from firmshake.climb import RUNTIMES
from firmshake.endpoint import parse_endpoint
from firmshake.errors import Error
from firmshake.fleetfile import DEFAULT_PORT
from firmshake.ladderview import summary
from firmshake.project import FLEET_FILE, Project

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("broker", required=False, metavar="[HOST[:PORT]]")
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default=RUNTIMES[0],
    show_default=True,
    help="What runs the agent: boards run MicroPython.",
)
@click.option("--ca", type=_FILE, metavar="FILE", help="The CA to trust: PEM or DER.")
@click.option("--cert", type=_FILE, metavar="FILE", help="The client's certificate and chain.")
@click.option("--key", type=_FILE, metavar="FILE", help="The client's private key, unencrypted.")
@click.option(
    "--device",
    type=DeviceId(),
    metavar="ID",
    help="The device's id; in a project, it is given a key and a certificate for this climb.",
)
@click.option("--server-name", metavar="NAME", help="The name that the broker has to show.")
@click.option(
    "--clock", metavar="WHEN", help="The time that the agent believes, as 2026-01-02T03:04 (UTC)."
)
@click.option(
    "--timeout",
    type=Seconds(min=0.1, max=600),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="The time limit of each stage.",
)
@click.option(
    "--project",
    "folder",
    type=_FILE,
    metavar="FOLDER",
    help="The project's folder. By itself: this folder, if it is one.",
)
@click.option(
    "--passphrase-fd",
    type=int,
    metavar="N",
    help="Read the CA's passphrase from file descriptor N, and do not ask for it.",
)
@click.option("--json", "as_json", is_flag=True, help="The verdict as one JSON object.")
def command(
    broker: str | None,
    runtime: str,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    device: str | None,
    server_name: str | None,
    clock: str | None,
    timeout: float,
    folder: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Climb the board's own ladder to the broker from this computer: no board, no flashing.

    In a project, the broker, the CA and the names are the project's, and --device is enough to show
    a certificate; without it, and without --cert and --key, none is shown. The exit status is 1
    where the ladder's end is not reached.
    """
    from firmshake import climb, doctor

    fleet = _project(folder)
    host, port, name = _where(broker, server_name, fleet)
    believed = _time(clock)
    files = _files(ca, cert, key, device, fleet, believed, passphrase_fd)
    shown = doctor.common_name(files["cert.der"]) if "cert.der" in files else None
    settings: dict[str, object] = {
        "v": 1,
        "device": device or shown or doctor.DEVICE,
        "host": host,
        "port": port,
        "server_name": name,
        "floor": int(datetime.now(UTC).timestamp()),
        "limit_ms": int(timeout * 1000),
    }
    printer = Printer(terminal())
    verdict = climb.run(
        settings,
        files,
        runtime=runtime,
        clock=believed,
        on_event=(lambda event: None) if as_json else printer.show,
    )
    printer.end_line()
    if as_json:
        click.echo(json.dumps(verdict.to_dict()))
    elif verdict.verdict is None:
        terminal().print(summary(verdict))
    if not verdict.ok:
        sys.exit(1)


def _project(folder: Path | None) -> Project | None:
    """The project in the folder that was named, or in this one if it is a project."""
    from firmshake import project

    if folder is None and not os.path.lexists(FLEET_FILE):
        return None
    return project.load(folder or Path())


def _where(broker: str | None, name: str | None, fleet: Project | None) -> tuple[str, int, str]:
    if broker is not None:
        host, port = parse_endpoint(broker, DEFAULT_PORT)
        return host, port, name or host
    if fleet is None:
        raise Error(
            "no broker is named", hint="name it as HOST[:PORT], or run in a project", status=2
        )
    return fleet.broker.host, fleet.broker.port, name or fleet.broker.server_name


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Error(
            f"--clock {text!r} is no time", hint="write 2026-01-02T03:04", status=2
        ) from None


def _files(
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    device: str | None,
    fleet: Project | None,
    believed: datetime | None,
    passphrase_fd: int | None,
) -> dict[str, bytes]:
    from firmshake import doctor, project

    if (cert is None) != (key is None):
        raise Error(
            "--cert and --key go together", hint="name both, or none to show none", status=2
        )
    if cert is None and device is not None and fleet is not None:
        authority = project.open_authority(fleet, passphrase.ask(passphrase_fd))
        files = doctor.issued(authority, device, datetime.now(UTC), believed)
        return files | ({"ca.der": doctor.certificates_der(doctor.read(ca, "CA"))} if ca else {})
    if ca is None and fleet is not None:
        ca = fleet.ca_folder / "root.crt"
    if ca is None:
        raise Error(
            "no CA is named to trust", hint="name its file with --ca, or run in a project", status=2
        )
    return doctor.identity_files(
        doctor.read(ca, "CA"),
        doctor.read(cert, "certificate") if cert else None,
        doctor.read(key, "key") if key else None,
    )
