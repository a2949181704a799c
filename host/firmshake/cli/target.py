"""What a broker is tried with: the options of `doctor` and of `explain --doctor`, and their sense.

In a project most of them come from it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from firmshake.cli import opening, parameters
from firmshake.cli.parameters import DeviceId, Seconds
from firmshake.climb import RUNTIMES
from firmshake.endpoint import parse_endpoint
from firmshake.errors import Error
from firmshake.event import STAGES, Event
from firmshake.fleetfile import (
    ALPN_WORDS,
    DEFAULT_PATH,
    DEFAULT_PORT,
    MQTTS,
    PATH_WORDS,
    SNI_WORDS,
    TRANSPORTS,
    WSS,
    is_alpn,
    is_path,
    is_sni,
)
from firmshake.project import FLEET_FILE, Broker, Project
from firmshake.verdict import Verdict

if TYPE_CHECKING:  # they are slow to load, and explain alone needs none of them
    from cryptography import x509

    from firmshake.serverview.view import ServerView

_FILE = click.Path(path_type=Path)

_OPTIONS = (
    click.option(
        "--runtime",
        type=click.Choice(RUNTIMES),
        default=RUNTIMES[0],
        show_default=True,
        help="What runs the agent: boards run MicroPython.",
    ),
    click.option("--ca", type=_FILE, metavar="FILE", help="The CA to trust: PEM or DER."),
    click.option("--cert", type=_FILE, metavar="FILE", help="The client's certificate and chain."),
    click.option("--key", type=_FILE, metavar="FILE", help="The client's key, unencrypted."),
    click.option(
        "--device",
        type=DeviceId(),
        metavar="ID",
        help="The device's id; in a project, it is given a key and a certificate for this climb.",
    ),
    click.option("--server-name", metavar="NAME", help="The name that the broker has to show."),
    click.option(
        "--transport",
        type=click.Choice(TRANSPORTS),
        help=f"MQTT over TLS, or over WebSocket over TLS.  [default: {MQTTS}]",
    ),
    click.option(
        "--path", metavar="PATH", help=f"The path of the WebSocket.  [default: {DEFAULT_PATH}]"
    ),
    click.option("--alpn", metavar="NAME", help="The ALPN protocol to ask for: CPython only."),
    click.option(
        "--sni", metavar="NAME", help="The name to ask for, if not the server name: CPython only."
    ),
    click.option(
        "--clock",
        metavar="WHEN",
        help="The time that the agent believes, as 2026-01-02T03:04 (UTC).",
    ),
    click.option("--crl", type=_FILE, metavar="FILE", help="A list of revoked certificates."),
    click.option(
        "--timeout",
        type=Seconds(min=0.1, max=600),
        default=15.0,
        show_default=True,
        metavar="SECONDS",
        help="The time limit of each stage.",
    ),
    click.option(
        "--project",
        "folder",
        type=_FILE,
        metavar="FOLDER",
        help="The project's folder. By itself: this folder, if it is one.",
    ),
    parameters.passphrase_fd,
)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options that `find` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Target:
    """A broker, and what to try it with; `files` hold a private key."""

    settings: dict[str, object]
    files: dict[str, bytes] = field(repr=False)
    runtime: str
    believed: datetime | None
    timeout_s: float
    known: tuple[x509.Certificate, ...]
    crl: x509.CertificateRevocationList | None

    def climb(self, on_event: Callable[[Event], None] = lambda event: None) -> Verdict:
        """The agent's verdict. Raises Error where it cannot be run."""
        from firmshake import climb

        return climb.run(
            self.settings,
            self.files,
            runtime=self.runtime,
            clock=self.believed,
            on_event=on_event,
        )

    def look(self, verdict: Verdict) -> ServerView:
        """What a full library sees of the broker, unless the ladder did not even get to it."""
        from firmshake.serverview import view
        from firmshake.serverview.reach import Server, Unreached

        host, name, port = (self.settings[key] for key in ("host", "server_name", "port"))
        assert isinstance(port, int)
        unreached = None
        silent = verdict.verdict == "tls.client_hello/timeout"
        if verdict.verdict and (silent or verdict.stage in ("dns", "tcp")):
            unreached = Unreached(verdict.verdict, verdict.why)
        return view.look(
            Server(
                str(host),
                port,
                str(name),
                self.timeout_s,
                sni=str(self.settings.get("sni", "")),
                alpn=str(self.settings.get("alpn", "")),
            ),
            self.files,
            datetime.now(UTC),
            known=self.known,
            crl=self.crl,
            unreached=unreached,
            trusted=_trusts(verdict),
        )


def _trusts(verdict: Verdict) -> bool:
    """Whether the ladder took the broker's certificate for good before it came to its end."""
    if verdict.stage == "tls":
        return verdict.step in ("client_certificate", "finished")
    if verdict.verdict is None or verdict.stage not in STAGES:
        return False
    return STAGES.index(verdict.stage) > STAGES.index("tls")


def find(
    broker: str | None,
    *,
    runtime: str,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    device: str | None,
    server_name: str | None,
    transport: str | None,
    path: str | None,
    alpn: str | None,
    sni: str | None,
    clock: str | None,
    crl: Path | None,
    timeout: float,
    folder: Path | None,
    passphrase_fd: int | None,
) -> Target:
    """What the options mean. Raises Error, of usage, where they do not go together."""
    from firmshake import boardfiles, doctor

    fleet = _project(folder)
    where = _spoken(_where(broker, server_name, fleet), transport, path, alpn, sni)
    believed = _time(clock)
    listed = _crl(crl)
    files = _files(ca, cert, key, device, fleet, believed, passphrase_fd)
    shown = doctor.common_name(files["cert.der"]) if "cert.der" in files else None
    settings: dict[str, object] = {
        "v": 1,
        "device": device or shown or doctor.DEVICE,
        "host": where.host,
        "port": where.port,
        "server_name": where.server_name,
        "floor": int(datetime.now(UTC).timestamp()),
        "limit_ms": int(timeout * 1000),
        **boardfiles.transport(where),
    }
    return Target(settings, files, runtime, believed, timeout, _known(fleet), listed)


def _known(fleet: Project | None) -> tuple[x509.Certificate, ...]:
    """The project's intermediate, which its broker has to send."""
    from firmshake.ca import store

    if fleet is None:
        return ()
    try:
        issuing = store.read(fleet.ca_folder).issuing
        return (store.certificate(fleet.ca_folder, issuing),)
    except Error:
        return ()  # it only helps to say more


def _crl(path: Path | None) -> Any:
    if path is None:
        return None
    from firmshake import doctor
    from firmshake.serverview import revocation

    return revocation.load(doctor.read(path, "CRL"), str(path))


def _project(folder: Path | None) -> Project | None:
    """The project in the folder that was named, or in this one if it is a project."""
    from firmshake import project

    if folder is None and not os.path.lexists(FLEET_FILE):
        return None
    return project.load(folder or Path())


def _where(broker: str | None, name: str | None, fleet: Project | None) -> Broker:
    """The broker that was named, of which the project says nothing, else the project's."""
    if broker is not None:
        host, port = parse_endpoint(broker, DEFAULT_PORT)
        return Broker(host, port, name or host)
    if fleet is None:
        raise Error(
            "no broker is named", hint="name it as HOST[:PORT], or run in a project", status=2
        )
    return dataclasses.replace(fleet.broker, server_name=name or fleet.broker.server_name)


def _spoken(
    broker: Broker, transport: str | None, path: str | None, alpn: str | None, sni: str | None
) -> Broker:
    """The broker, spoken to as the options say; "" takes away what the project says."""
    for option, value, good, words in (
        ("--path", path, is_path, PATH_WORDS),
        ("--alpn", alpn or None, is_alpn, ALPN_WORDS),
        ("--sni", sni or None, is_sni, SNI_WORDS),
    ):
        if value is not None and not good(value):
            raise Error(f"{option} {value!r} will not do", hint=f"it {words}", status=2)
    transport = transport or broker.transport
    if path is not None and transport != WSS:
        raise Error("--path is for WebSockets only", hint="add --transport wss", status=2)
    return dataclasses.replace(
        broker,
        transport=transport,
        path=path or broker.path,
        alpn=broker.alpn if alpn is None else alpn or None,
        sni=broker.sni if sni is None else sni or None,
    )


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
    from firmshake import doctor
    from firmshake.ca import store

    if (cert is None) != (key is None):
        raise Error(
            "--cert and --key go together", hint="name both, or none to show none", status=2
        )
    if cert is None and device is not None and fleet is not None:
        opened = opening.open_loaded(fleet, *opening.parts(fleet), passphrase_fd)
        now = datetime.now(UTC)
        files = doctor.issued(opened.authority, opened.registry, device, now, believed)
        return files | ({"ca.der": doctor.certificates_der(doctor.read(ca, "CA"))} if ca else {})
    if ca is None and fleet is not None:
        ca = fleet.ca_folder / store.read(fleet.ca_folder).root.certificate
    if ca is None:
        raise Error(
            "no CA is named to trust", hint="name its file with --ca, or run in a project", status=2
        )
    return doctor.identity_files(
        doctor.read(ca, "CA"),
        doctor.read(cert, "certificate") if cert else None,
        doctor.read(key, "key") if key else None,
    )
