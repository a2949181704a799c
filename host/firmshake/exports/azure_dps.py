"""What registers the CA and its devices with Azure's Device Provisioning Service. Does no I/O.

The CA that is enrolled is the intermediate that issues: devices send it along, the proof of
possession needs its key alone, and the root's key stays where it is. Documents as in the REST API
of the service, version 2021-10-01.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from firmshake.ca.certificate import fingerprint, pem
from firmshake.exports import devicelist
from firmshake.exports.devicelist import Listed, json_line, json_text
from firmshake.exports.material import README, Files, Material, readme

API = "2021-10-01"
CA = "issuing-ca.cer"
VERIFICATION = "verification.cer"
GROUP = "enrollment-group.json"
# what one request may hold
BULK = 10

# letters of both cases are one to it; the last one is a letter, a digit or a hyphen
_REGISTRATION = re.compile(r"[A-Za-z0-9._:-]{0,127}[A-Za-z0-9-]")


def files(material: Material, verification: x509.Certificate | None = None) -> Files:
    """Return the files, by name.

    With `verification`, the certificate that proves the CA's key to Azure, the group refers to the
    CA as the service knows it then; without it, the group brings the CA's certificate itself.
    """
    made: Files = {
        CA: pem(material.issuing),
        GROUP: json_text(group(material, verified=verification is not None)),
        README: _readme(material, verified=verification is not None),
    }
    if verification is not None:
        made[VERIFICATION] = pem(verification)
    return made


def can_list(device_id: str) -> bool:
    """Return whether Azure takes that for a registration id."""
    return bool(_REGISTRATION.fullmatch(device_id))


def name(material: Material, ca: x509.Certificate | None = None) -> str:
    """Return what a CA of the fleet and its enrolment group are called: lower case, hyphens.

    `ca` is the one that issues by itself. Each has a name of its own, so that one can be turned
    away beside the others.
    """
    words = "-".join(["firmshake", *re.findall("[a-z0-9]+", material.fleet.lower())])
    return f"{words[:55].rstrip('-')}-{fingerprint(ca or material.issuing)[:8]}"


def group(material: Material, verified: bool) -> dict[str, object]:
    """Return the enrolment group: every device that the CA has issued a certificate to."""
    if verified:
        way: dict[str, object] = {"caReferences": {"primary": name(material)}}
    else:
        der = material.issuing.public_bytes(Encoding.DER)
        way = {"signingCertificates": {"primary": _certificate(der)}}
    return {
        "enrollmentGroupId": name(material),
        "attestation": {"type": "x509", "x509": way},
        "provisioningStatus": "enabled",
        "allocationPolicy": "hashed",
        "reprovisionPolicy": {"updateHubAssignment": True, "migrateDeviceData": True},
    }


def enrollment(one: Listed) -> dict[str, object]:
    """Return the individual enrolment of a device; disabled where it has no certificate left."""
    return {
        "registrationId": one.device_id,
        "deviceId": one.device_id,
        "attestation": {
            "type": "x509",
            "x509": {"clientCertificates": {"primary": _certificate(one.der)}},
        },
        "provisioningStatus": "disabled" if one.is_gone else "enabled",
    }


def bulk_lines(devices: Iterable[Listed]) -> Iterator[bytes]:
    """Yield a bulk operation for each ten of the devices that are good."""
    return _operations(one for one in devices if not one.is_revoked)


def revoked_lines(devices: Iterable[Listed]) -> Iterator[bytes]:
    """Yield a bulk operation for each ten of the devices that have no good certificate left.

    Disabled by itself, a device is refused though its group is enabled.
    """
    return _operations(one for one in devices if one.is_gone)


LISTS: Mapping[str, Callable[[Iterable[Listed]], Iterator[bytes]]] = {
    "devices.jsonl": bulk_lines,
    "revoked.jsonl": revoked_lines,
    devicelist.NAME: devicelist.csv_lines,
}


def _operations(devices: Iterable[Listed]) -> Iterator[bytes]:
    wanted = (one for one in devices if can_list(one.device_id))
    while ten := list(itertools.islice(wanted, BULK)):
        yield json_line({"enrollments": [enrollment(one) for one in ten], "mode": "create"})


def _certificate(der: bytes) -> dict[str, str]:
    return {"certificate": base64.b64encode(der).decode("ascii")}


def _readme(material: Material, verified: bool) -> str:
    ca = name(material)
    service = "--dps-name $DPS --resource-group $GROUP"
    steps = [
        "Say which service is meant: its name, and its resource group. You need the Azure CLI with"
        " its extension azure-iot, and the role Device Provisioning Service Data Contributor.\n"
        "  DPS=...\n"
        "  GROUP=...",
        "Make the CA known to the service:\n"
        f"  az iot dps certificate create {service} --certificate-name {ca} --path {CA}",
        _proof(ca, service, verified),
        "Enrol every device of the CA:\n  " + _rest("put", f"enrollmentGroups/{ca}", f"@{GROUP}"),
        "Boards speak to the service once, with the id scope of its overview page, are told their"
        " IoT hub, and connect there. firmshake's agent speaks MQTT to the broker in fleet.toml"
        " and does not ask the service: that step is your own program's.",
    ]
    notes = {
        "Who gets in": (
            "Devices whose certificate was issued by the CA in issuing-ca.cer, which each sends"
            " along. The registration id, and the device id at the hub, is the certificate's common"
            " name; a hub lets a device into its own topics alone, by its nature. Azure makes no"
            " difference between upper and lower case there. After the intermediate is renewed,"
            " export again and enrol the new one as well: its group has another name."
        ),
        "Known beforehand: individual enrolments": (
            "A group lets in devices that the service has never heard of. To name each instead,"
            " leave the group out and post the list, ten devices to a line:\n"
            "  while IFS= read -r body; do\n"
            "    " + _rest("post", "enrollments", '"$body"') + "\n"
            "  done < devices.jsonl"
        ),
        "Revoked devices": (
            "Azure reads no list of the revoked. After each firmshake ca revoke export again, and"
            " post revoked.jsonl in the same way: it holds a disabled enrolment for each device"
            " without a good certificate, which counts before the group. That keeps it from being"
            " provisioned again; one that a hub knows already is turned away there:\n"
            "  az iot hub device-identity update --hub-name HUB --device-id ID --set"
            " status=disabled\n"
            "Where an enrolment of that name exists, the line is refused: change create to update"
            " in it. A board that is provisioned again, and good again, stays out until its"
            " disabled enrolment is deleted:\n"
            f"  az iot dps enrollment delete {service} --enrollment-id ID"
        ),
        "Revoked and retired CAs": _retired(material, service),
    }
    return readme(f"Azure Device Provisioning Service for the fleet {material.fleet}", steps, notes)


def _retired(material: Material, service: str) -> str:
    """What to do about the CAs that issue no more, which Azure goes on to trust."""
    revoked = [name(material, one.certificate) for one in material.retired if one.is_revoked]
    others = [name(material, one.certificate) for one in material.retired if not one.is_revoked]
    parts = [
        "Azure does not learn by itself that a CA was revoked, and goes on to let in what it signs."
        " After firmshake ca revoke of an intermediate export again, and do what stands here then."
    ]
    if revoked:
        parts.append("Disable the groups of the CAs that were revoked, at once:")
        parts += [_disable(one, service) for one in revoked]
        parts.append(
            "What such a group has let in stays known to its hub, a thief's devices among it."
            " Delete each of them there, and provision the boards again from the new CA:"
        )
        parts += [_expel(one) for one in revoked]
    if others:
        parts.append(
            "These were renewed and not revoked. Once each of their boards has been provisioned"
            " here, or has a certificate of the new CA, let them register no more:"
        )
        parts += [_disable(one, service) for one in others]
    if not revoked and not others:
        parts.append("So far no CA of this fleet was revoked or renewed.")
    return "\n".join(parts)


def _disable(one: str, service: str) -> str:
    return (
        f"  az iot dps enrollment-group update {service} --enrollment-id {one}"
        " --provisioning-status disabled"
    )


def _expel(one: str) -> str:
    asked = _rest("post", f"registrations/{one}/query", "'{}'")
    return (
        f"  {asked} --query '[].deviceId' -o tsv | while read -r id; do\n"
        '    az iot hub device-identity delete --hub-name HUB --device-id "$id"\n'
        "  done"
    )


def _rest(method: str, path: str, body: str) -> str:
    return (
        f"az rest --method {method} --resource https://azure-devices-provisioning.net"
        f' --url "https://$DPS.azure-devices-provisioning.net/{path}?api-version={API}"'
        f" --headers Content-Type=application/json --body {body}"
    )


def _proof(ca: str, service: str, verified: bool) -> str:
    state = f"az iot dps certificate show {service} --certificate-name {ca} --query etag -o tsv"
    if verified:
        return (
            f"Prove that the CA's key is yours: {VERIFICATION} was made for the code that the"
            " service gave, and holds for a day.\n"
            f"  ETAG=$({state})\n"
            f"  az iot dps certificate verify {service} --certificate-name {ca}"
            f' --path {VERIFICATION} --etag "$ETAG"'
        )
    return (
        "Prove that the CA's key is yours (it may be left out: the group here brings the CA's"
        " certificate itself). Ask for a code, export again with --code CODE, and go on with the"
        " README of that folder:\n"
        f"  ETAG=$({state})\n"
        f"  az iot dps certificate generate-verification-code {service} --certificate-name {ca}"
        ' --etag "$ETAG" --query properties.verificationCode -o tsv'
    )
