"""`firmshake ca export`: what a broker or a cloud needs to let the fleet in."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from firmshake.cli import opening, parameters, passphrase
from firmshake.endpoint import is_host
from firmshake.errors import Error
from firmshake.exports import TARGETS
from firmshake.wording import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from firmshake.exporting import Lists
    from firmshake.exports.material import Files, Material
    from firmshake.project import Project
    from firmshake.registry import Registry

_BROKERS = ("mosquitto", "emqx", "hivemq", "nanomq", "rabbitmq")
_CLOUDS = ("aws-iot", "azure-dps")
# which targets an option is for; the others take all
_OPTIONS = {
    "--at": (*_BROKERS, "step-ca"),
    "--with-key": _BROKERS,
    "--keystore-passphrase-fd": ("hivemq",),
    "--code": _CLOUDS,
    "--account": ("aws-iot",),
    "--region": ("aws-iot",),
    "--dns": ("step-ca",),
}
# a path that means the same in every broker's configuration, unquoted and quoted
_PATH = re.compile(r"/[A-Za-z0-9._/-]*[A-Za-z0-9._-]")
_SHOWN = 3


@click.command(epilog="Targets: " + "; ".join(f"{name}, {what}" for name, what in TARGETS.items()))
@click.argument("target", type=click.Choice(list(TARGETS)), metavar="TARGET")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where to write it: a new folder, or one without these files.",
)
@click.option("--at", metavar="FOLDER", help="Where the files will be at the broker.")
@click.option("--with-key", is_flag=True, help="The broker's private key, too, in clear.")
@click.option(
    "--keystore-passphrase-fd",
    type=int,
    metavar="N",
    help="hivemq: read the keystore's new passphrase from file descriptor N.",
)
@click.option("--code", help="aws-iot, azure-dps: prove the CA's key with the code that you got.")
@click.option("--account", metavar="NUMBER", help="aws-iot: the account, 12 digits.")
@click.option("--region", help="aws-iot: the region, such as eu-central-1.")
@click.option("--dns", multiple=True, metavar="NAME", help="step-ca: its own name. Repeatable.")
@parameters.project_folder
@parameters.passphrase_fd
@click.pass_context
def command(
    context: click.Context,
    target: str,
    out: Path,
    at: str | None,
    with_key: bool,
    keystore_passphrase_fd: int | None,
    code: str | None,
    account: str | None,
    region: str | None,
    dns: tuple[str, ...],
    folder: Path,
    passphrase_fd: int | None,
) -> None:
    """Write what a broker or a cloud needs to let the fleet in, and nobody else.

    That is its configuration, one rule for the topics of every device, the list of the revoked or
    what stands for it, and a README.txt with what to do, in order. The CA's passphrase is asked for
    with --code only.
    """
    _check_options(context, target)
    _check_values(target, at, account, region, dns)
    from firmshake import exporting

    fleet, _, registry = opening.load(folder)
    _check_transport(fleet, target)
    now = datetime.now(UTC)
    material = exporting.gather(fleet, registry, **_place(target, at), with_key=with_key)
    _check_ids(target, registry, fleet.prefix)
    if target in _CLOUDS:
        proof = _proof(folder, code, passphrase_fd, now) if code else None
        files, lines = _cloud(target, material, account, region, proof)
    else:
        files, lines = _broker(target, material, keystore_passphrase_fd, dns), {}
    exporting.write(out, files, lines, registry, now, material.untrusted)
    _report(target, out, [*files, *lines], material)


def _check_options(context: click.Context, target: str) -> None:
    given = click.core.ParameterSource.COMMANDLINE
    for option, targets in _OPTIONS.items():
        name = option.removeprefix("--").replace("-", "_")
        if context.get_parameter_source(name) == given and target not in targets:
            raise Error(
                f"{option} has no meaning for {target}",
                hint=f"it is for {', '.join(targets)}",
                status=2,
            )


def _check_values(
    target: str,
    at: str | None,
    account: str | None,
    region: str | None,
    dns: tuple[str, ...],
) -> None:
    if at is not None and not _PATH.fullmatch(at):
        raise Error(
            f"--at {at!r} can't be used",
            hint="give a whole path, of letters, digits, '.', '_', '-' and '/', as at the broker",
            status=2,
        )
    if target == "aws-iot" and not re.fullmatch("[0-9]{12}", account or ""):
        raise Error("--account has to be 12 digits", hint="aws sts get-caller-identity", status=2)
    if target == "aws-iot" and not re.fullmatch("[a-z]{2}(-[a-z]+)+-[0-9]", region or ""):
        raise Error("--region has to be a region of AWS, such as eu-central-1", status=2)
    if target == "step-ca" and not dns:
        raise Error("--dns is missing: the name of the step-ca itself", status=2)
    for name in dns:
        if not is_host(name):
            raise Error(f"--dns {name!r} is no DNS name and no IP address", status=2)


def _check_transport(fleet: Project, target: str) -> None:
    if target in _BROKERS and fleet.broker.transport != "mqtts":
        raise Error(
            "the boards of this fleet speak MQTT over WebSocket, and the exports are for MQTT"
            " over TLS",
            hint="set broker.transport in fleet.toml to 'mqtts', or configure the broker by hand",
        )


def _check_ids(target: str, registry: Registry, prefix: str) -> None:
    """Refuse ids that a broker would mix up; say which ones a cloud does not take."""
    from firmshake import exporting
    from firmshake.exports import aws_iot, azure_dps, rabbitmq

    if target == "rabbitmq":
        mixed = next(exporting.refused(registry, lambda one: not rabbitmq.is_ambiguous(one)), None)
        if mixed is not None or rabbitmq.is_ambiguous(prefix):
            raise Error(
                f"RabbitMQ can't keep the device id {mixed or prefix + '...'} apart from others",
                hint="to it a dot is a slash; use another broker, or ids without dots",
            )
    takes = {"aws-iot": aws_iot.can_list, "azure-dps": azure_dps.can_list}.get(target)
    if takes is not None:
        left = list(itertools.islice(exporting.refused(registry, takes), _SHOWN + 1))
        if left:
            named = ", ".join(left[:_SHOWN]) + (", ..." if len(left) > _SHOWN else "")
            click.echo(
                f"left out, for {target} does not take such ids: {printable(named)}", err=True
            )


def _place(target: str, at: str | None) -> dict[str, str]:
    from firmshake import exporting
    from firmshake.exports import emqx, hivemq, nanomq, rabbitmq, step_ca

    usual = {
        "emqx": emqx.AT,
        "hivemq": hivemq.AT,
        "nanomq": nanomq.AT,
        "rabbitmq": rabbitmq.AT,
        "step-ca": step_ca.AT,
    }
    where = at if at is not None else usual.get(target, "")
    # beside the project mosquitto runs as who starts it, at its own place as Debian's user
    return {"at": where, "user": "mosquitto" if where else exporting.this_user()}


def _proof(folder: Path, code: str, passphrase_fd: int | None, now: datetime) -> x509.Certificate:
    from firmshake.ca.verification import check_code, verification_certificate
    from firmshake.registry import Issued

    check_code(code)
    opened = opening.open_ca(folder, passphrase_fd)
    made = verification_certificate(opened.authority, code, now)
    opened.registry.record(Issued("other", made))
    return made


def _cloud(
    target: str,
    material: Material,
    account: str | None,
    region: str | None,
    proof: x509.Certificate | None,
) -> tuple[Files, Lists]:
    from firmshake.exports import aws_iot, azure_dps

    if target == "azure-dps":
        return azure_dps.files(material, proof), azure_dps.LISTS
    assert account is not None
    assert region is not None
    return aws_iot.files(material, aws_iot.Account(account, region), proof), aws_iot.LISTS


def _broker(
    target: str, material: Material, keystore_passphrase_fd: int | None, dns: tuple[str, ...]
) -> Files:
    from firmshake.exports import emqx, hivemq, mosquitto, nanomq, rabbitmq, step_ca

    if target == "step-ca":
        return step_ca.files(material, dns)
    if target == "hivemq":
        secret = None
        if material.broker_key is not None:
            secret = passphrase.ask(
                keystore_passphrase_fd, confirm=True, what="keystore passphrase"
            )
        return hivemq.files(material, secret)
    makes: dict[str, Callable[[Material], Files]] = {
        "mosquitto": mosquitto.files,
        "emqx": emqx.files,
        "nanomq": nanomq.files,
        "rabbitmq": rabbitmq.files,
    }
    return makes[target](material)


def _report(target: str, out: Path, names: list[str], material: Material) -> None:
    click.echo(f"{printable(str(out))}: {TARGETS[target]}")
    for name in sorted(names):
        click.echo(f"  {printable(name)}")
    if target == "nanomq" or (target == "emqx" and not material.crl_url):
        click.echo("revoked devices get in there: README.txt says what to do", err=True)
    if material.broker_key is not None:
        click.echo(
            "it holds the broker's private key: carry it encrypted, delete it here", err=True
        )
    click.echo("next:", err=True)
    click.echo(
        f"  read {printable(str(out / 'README.txt'))} and do what it says, in order", err=True
    )
