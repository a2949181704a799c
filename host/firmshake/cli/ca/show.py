"""`firmshake ca show`: the project's CAs at a glance."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from firmshake.cli import opening, parameters
from firmshake.wording import printable

if TYPE_CHECKING:
    from firmshake.ca.store import Place, Places
    from firmshake.registry import CertificateRecord, Registry

_KINDS = ("device", "broker", "intermediate", "root", "other")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@parameters.project_folder
def command(as_json: bool, folder: Path) -> None:
    """Show the project's CAs: names, dates, where their keys are, revocation lists, counts.

    No key is opened.
    """
    fleet, places, registry = opening.load(folder)
    now = datetime.now(UTC)
    every = [places.root, *reversed(places.intermediates)]
    cas = [_described(fleet.ca_folder, places, place, registry) for place in every]
    counts = {
        kind: dict(zip(("good", "revoked", "expired"), registry.count(kind, now), strict=True))
        for kind in _KINDS
    }
    head = registry.head()
    log = {"entries": head.seq, "head": head.sha256} if head else {"entries": 0, "head": ""}
    if as_json:
        said = {"cas": cas, "keyring": places.keyring, "certificates": counts, "log": log}
        click.echo(json.dumps(said))
        return
    for ca in cas:
        _print(ca)
    if places.keyring:
        click.echo("the system's keyring is asked for what opens the issuing CA's key")
    _print_counts(counts)
    click.echo(f"log      {log['entries']:,} entries")
    click.echo(f"  head         {log['head']}")


def _described(folder: Path, places: Places, place: Place, registry: Registry) -> dict[str, Any]:
    from firmshake.ca import certificate as certificates
    from firmshake.ca import store

    found = store.certificate(folder, place)
    crl = registry.last_crl(certificates.own_key(found))
    absent = not place.in_token and not (folder / place.key).exists()
    return {
        "role": _role(places, place, registry.certificate(certificates.serial(found))),
        "name": certificates.subject(found),
        "key_type": certificates.key_type_of(found),
        "not_after": found.not_valid_after_utc.isoformat(),
        "serial_number": certificates.serial(found),
        "fingerprint_sha256": certificates.fingerprint(found),
        "key": place.key,
        "key_is_here": not absent,
        "crl_number": crl.number if crl else None,
        "crl_next_update": crl.next_update.isoformat() if crl else None,
    }


def _role(places: Places, place: Place, row: CertificateRecord | None) -> str:
    if place is places.root:
        return "root"
    if place is places.issuing:
        return "issuing"
    return "revoked" if row and row.revoked_at else "retired"


def _print(ca: dict[str, Any]) -> None:
    click.echo(f"{ca['role']:<8} {printable(ca['name'])}")
    click.echo(f"  valid until  {ca['not_after'][:10]}")
    click.echo(f"  key          {ca['key_type']}, {_where(ca)}")
    if ca["crl_number"] and ca["role"] != "revoked":
        due = ca["crl_next_update"][:10]
        click.echo(f"  CRL          number {ca['crl_number']}, the next is due by {due}")
    click.echo(f"  serial       {ca['serial_number']}")
    click.echo(f"  SHA-256      {ca['fingerprint_sha256']}")


def _print_counts(counts: dict[str, dict[str, int]]) -> None:
    click.echo(f"{'issued':<14} {'in force':>12} {'revoked':>12} {'expired':>12}")
    for kind, found in counts.items():
        if any(found.values()):
            numbers = " ".join(f"{number:>12,}" for number in found.values())
            click.echo(f"  {kind:<12} {numbers}")


def _where(ca: dict[str, Any]) -> str:
    from firmshake.ca import pkcs11uri

    if pkcs11uri.is_uri(ca["key"]):
        where = pkcs11uri.parse(ca["key"])
        return f"key {where.label!r} in the token {where.token!r}"
    if ca["key_is_here"]:
        return f"encrypted in {printable(ca['key'])}"
    return f"not here ({printable(ca['key'])}): kept offline"
