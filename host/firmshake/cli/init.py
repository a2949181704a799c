"""`firmshake init`: a project folder with everything that the first board needs."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import keeping, passphrase
from firmshake.cli.ca import offering
from firmshake.endpoint import is_host, is_loopback, parse_endpoint
from firmshake.errors import Error
from firmshake.fleetfile import (
    DEFAULT_NTP,
    DEFAULT_PORT,
    is_ssid,
    is_time_server,
    is_wifi_password,
)
from firmshake.project import Broker, Project, Wifi

if TYPE_CHECKING:
    from firmshake.importing import Candidate


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@click.option(
    "--broker",
    required=True,
    metavar="HOST[:PORT]",
    help=f"Where boards connect: a DNS name or an IP address; by itself, port {DEFAULT_PORT}.",
)
@click.option(
    "--broker-name",
    "broker_names",
    multiple=True,
    metavar="NAME",
    help="A further name or address for the broker's certificate. May be repeated.",
)
@click.option("--name", help="What the fleet is called. By itself: the folder's name.")
@click.option("--wifi-ssid", metavar="SSID", help="The Wi-Fi network that boards join.")
@click.option(
    "--wifi-password-fd",
    type=int,
    metavar="N",
    help="Read the Wi-Fi password from file descriptor N; an empty line for an open network.",
)
@click.option(
    "--ntp",
    multiple=True,
    metavar="HOST[:PORT]",
    help=f"Where boards ask for the time. May be repeated. By itself: {', '.join(DEFAULT_NTP)}.",
)
@click.option(
    "--no-ntp",
    is_flag=True,
    help="There is no time server: boards go on from the time of their provisioning.",
)
@click.option(
    "--profiles",
    "profiles_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The certificate profiles: validity, key types and usages. By itself: those that"
    " `firmshake ca profiles` prints.",
)
@click.option(
    "--ca",
    "ca_files",
    multiple=True,
    metavar="FILE",
    help="Begin with a CA that there is: its key, its certificate and those above it, as PEM, DER"
    " or PKCS#12, in one file or several. Below a root's key, an issuing CA is made.",
)
@click.option(
    "--registry",
    "registry_url",
    metavar="URL",
    help="Have the registry in the empty PostgreSQL database at URL, which several stations share;"
    " the password is not in it: libpq finds that in ~/.pgpass. By itself: a file of the project.",
)
@offering.option
@keeping.options
def command(
    folder: Path,
    broker: str,
    broker_names: tuple[str, ...],
    name: str | None,
    wifi_ssid: str | None,
    wifi_password_fd: int | None,
    ntp: tuple[str, ...],
    no_ntp: bool,
    profiles_file: Path | None,
    ca_files: tuple[str, ...],
    registry_url: str | None,
    file_passphrase_fd: int | None,
    passphrase_fd: int | None,
    root_fd: int | None,
    uri: str | None,
    root_uri: str | None,
) -> None:
    """Make a project folder: fleet.toml, private CA, broker certificate, broker settings.

    FOLDER is where it goes, this folder by itself. The CA's keys are encrypted with a passphrase
    that you choose, or made in a PKCS#11 token; firmshake asks for the passphrase, or the token's
    PIN, whenever it issues an identity.
    """
    from firmshake.ca import profiles
    from firmshake.importing import new_ca
    from firmshake.newproject import check_free, new_project

    host, port = parse_endpoint(broker, DEFAULT_PORT)
    check_free(folder, registry_url)  # before anybody types a passphrase
    _check_names("--broker-name", broker_names)
    _check_time_servers(ntp)
    if ntp and no_ntp:
        raise Error("--ntp and --no-ntp exclude each other", status=2)
    keeping.check_usage(uri, root_uri)
    rules = profiles.read(profiles_file) if profiles_file else None
    found = _candidate(ca_files, file_passphrase_fd, uri, root_uri)
    wifi = _wifi(wifi_ssid, wifi_password_fd)
    issuing, root = keeping.ask(uri, root_uri, passphrase_fd, root_fd)
    now = datetime.now(UTC)
    made = new_project(
        folder,
        broker=Broker(host, port, host),
        passphrase=issuing.secret,
        now=now,
        taken=partial(new_ca, found, now=now, keeping=issuing, root=root) if found else None,
        root=root,
        issuing_uri=uri,
        name=name,
        wifi=wifi,
        ntp=() if no_ntp else ntp or DEFAULT_NTP,
        broker_names=broker_names,
        certificate_profiles=rules,
        registry_url=registry_url,
    )
    _report(made, uri, root_uri)


def _candidate(
    files: tuple[str, ...], fd: int | None, uri: str | None, root_uri: str | None
) -> Candidate | None:
    """The CA in the files, checked; None where there are no files."""
    if not files:
        return None
    from firmshake import importing

    found = importing.candidate(offering.read(files, fd), datetime.now(UTC))
    offering.show(found.findings)
    importing.refuse(found.findings)
    if root_uri is not None or (uri is not None and not found.is_root):
        raise Error(
            "--ca brings the key along, and none is made in a token",
            hint="leave out --root-key; --key is for the issuing CA below a root that is imported",
            status=2,
        )
    return found


def _check_names(option: str, names: tuple[str, ...]) -> None:
    for name in names:
        if not is_host(name):
            raise Error(f"{option} {name!r} is no DNS name and no IP address", status=2)


def _check_time_servers(names: tuple[str, ...]) -> None:
    for name in names:
        if not is_time_server(name):
            raise Error(
                f"--ntp {name!r} is no time server",
                hint="give a DNS name or an IPv4 address, with :PORT where that is not 123",
                status=2,
            )


def _wifi(ssid: str | None, fd: int | None) -> Wifi | None:
    if ssid is None:
        if fd is not None:
            raise Error("--wifi-password-fd needs --wifi-ssid", status=2)
        return None
    if not is_ssid(ssid):
        raise Error("--wifi-ssid has to be of 1 to 32 bytes", status=2)
    password = _wifi_password(fd)
    if password and not is_wifi_password(password):
        raise Error(
            "the Wi-Fi password has to be 8 to 63 ASCII characters or 64 hexadecimal digits",
            hint="an empty one is for an open network",
            status=2,
        )
    return Wifi(ssid, password or None)


def _wifi_password(fd: int | None) -> str:
    if fd is not None:
        return passphrase.read_line(fd, "Wi-Fi password").decode("utf-8", "replace")
    if not sys.stdin.isatty():
        click.echo("no Wi-Fi password was given: if there is one, put it in fleet.toml", err=True)
        return ""
    asked = click.prompt(
        "Wi-Fi password (empty if open)", default="", show_default=False, hide_input=True, err=True
    )
    return str(asked)


def _report(made: Project, uri: str | None, root_uri: str | None) -> None:
    from firmshake.ca.certificate import fingerprint
    from firmshake.project import root_certificate

    click.echo(f"{made.root}: fleet {made.name!r}, broker {made.broker.host}:{made.broker.port}")
    click.echo("  fleet.toml   settings: look through them before the first board")
    click.echo(f"  ca/          root and issuing CA, {_where(uri, root_uri)}")
    click.echo("  broker/      certificate, key and configuration for mosquitto")
    if made.registry_url is not None:
        click.echo(f"  registry     in PostgreSQL: {made.registry_url}")
    click.echo(f"root CA SHA-256 {fingerprint(root_certificate(made))}")
    click.echo("next:", err=True)
    broker, project = (shlex.quote(str(f)) for f in (made.broker_folder, made.root))
    click.echo(f"  start the broker:   (cd {broker} && mosquitto -c mosquitto.conf)", err=True)
    click.echo(f"  provision a board:  (cd {project} && firmshake provision PORT)", err=True)
    if is_loopback(made.broker.host):
        click.echo(f"  or without boards:  (cd {project} && firmshake virtual)", err=True)


def _where(uri: str | None, root_uri: str | None) -> str:
    if uri and root_uri:
        return "their keys in tokens"
    if uri or root_uri:
        return f"the {'root' if root_uri else 'issuing CA'}'s key in a token, the other encrypted"
    return "their keys encrypted"
