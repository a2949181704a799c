"""What registers the CA and its devices with AWS IoT Core. Does no I/O.

The CA that is registered is the intermediate that issues: AWS wants the one that signed the device
certificates, devices send it along, and the root's key stays where it is. Requests as in the
service model of AWS IoT, 2015-05-28 (botocore has it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from firmshake.ca.certificate import fingerprint, pem
from firmshake.exports import aws_iot_deactivate, aws_iot_readme, devicelist
from firmshake.exports.aws_iot_deactivate import RETIRED_CAS, REVOKED_CAS
from firmshake.exports.aws_iot_readme import FUNCTION, ROLE, RULE, VERIFICATION, Account
from firmshake.exports.devicelist import Listed, json_line, json_text
from firmshake.exports.material import README, Files, Material

__all__ = ["LISTS", "Account", "bulk_lines", "can_list", "files", "revoked_lines"]

POLICY = "firmshake-device"
TEMPLATE = "firmshake-jitp"
CA = "issuing-ca.crt"

# UpdateCACertificate; which one is said on the command line
_DEACTIVATE = {"newStatus": "INACTIVE", "newAutoRegistrationStatus": "DISABLE"}
# a thing's name (CreateThing): no dot
_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_THING_TYPE, _CERTIFICATE, _POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
_COMMON_NAME, _ID = "AWS::IoT::Certificate::CommonName", "AWS::IoT::Certificate::Id"
# in a policy: the thing that has the client id for its name, if the certificate is attached to it
_SELF = "${iot:Connection.Thing.ThingName}"


def files(
    material: Material, account: Account, verification: x509.Certificate | None = None
) -> Files:
    """Return the files, by name.

    With `verification`, the certificate that proves the CA's key to AWS, the CA is registered in
    DEFAULT mode, for this account alone; without it in SNI_ONLY mode.
    """
    made: Files = {
        CA: pem(material.issuing),
        "device-policy.json": json_text(_policy(account)),
        "create-policy.json": json_text(
            {"policyName": POLICY, "policyDocument": _compact(_policy(account))}
        ),
        "role-trust.json": json_text(_trust()),
        "create-provisioning-template.json": json_text(_jitp(account)),
        "register-ca-jitp.json": json_text(_register(material, verification, jitp=True)),
        "register-ca-jitr.json": json_text(_register(material, verification, jitp=False)),
        "create-topic-rule-jitr.json": json_text(_rule(account)),
        "start-thing-registration-task.json": json_text(_bulk(material, account)),
        "deactivate-ca.json": json_text(_DEACTIVATE),
        aws_iot_deactivate.NAME: aws_iot_deactivate.program(account.region),
        REVOKED_CAS: _marks(material, revoked=True),
        RETIRED_CAS: _marks(material, revoked=False),
        README: aws_iot_readme.text(material, account, verified=verification is not None),
    }
    if verification is not None:
        made[VERIFICATION] = pem(verification)
    return made


def can_list(device_id: str) -> bool:
    """Return whether AWS takes that for a thing's name."""
    return bool(_THING.fullmatch(device_id))


def bulk_lines(devices: Iterable[Listed]) -> Iterator[bytes]:
    """Yield a line for each device that is good: what start-thing-registration-task wants."""
    for one in devices:
        if not one.is_revoked and can_list(one.device_id):
            certificate = x509.load_der_x509_certificate(one.der)
            text = certificate.public_bytes(Encoding.PEM).decode("ascii")
            yield json_line({"ThingName": one.device_id, "CertificatePem": text})


def revoked_lines(devices: Iterable[Listed]) -> Iterator[bytes]:
    """Yield the request UpdateCertificate for each certificate that is revoked.

    A certificate's id at AWS is the SHA-256 of its DER.
    """
    for one in devices:
        if one.is_revoked:
            yield json_line({"certificateId": one.fingerprint_sha256, "newStatus": "REVOKED"})


LISTS: Mapping[str, Callable[[Iterable[Listed]], Iterator[bytes]]] = {
    "devices.jsonl": bulk_lines,
    "revoked.jsonl": revoked_lines,
    devicelist.NAME: devicelist.csv_lines,
}


def _marks(material: Material, *, revoked: bool) -> str:
    """A line for each CA that issues no more: by which mark it is found among those at AWS."""
    found = [one.certificate for one in material.retired if one.is_revoked == revoked]
    return "".join(f"{fingerprint(one)}\n" for one in found)


def _policy(account: Account) -> dict[str, object]:
    """A device connects as the thing that its certificate is attached to, and has its topics."""
    own = f"devices/{_SELF}/*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": account.arn("iot", f"client/{_SELF}"),
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive", "iot:RetainPublish"],
                "Resource": account.arn("iot", f"topic/{own}"),
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": account.arn("iot", f"topicfilter/{own}"),
            },
        ],
    }


def _trust() -> dict[str, object]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "iot.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }


def _jitp(account: Account) -> dict[str, object]:
    certificate = {"CertificateId": {"Ref": _ID}, "Status": "ACTIVE"}
    body = _body({_COMMON_NAME: "", _ID: ""}, {"Ref": _COMMON_NAME}, certificate)
    return {
        "templateName": TEMPLATE,
        "description": "Devices of a firmshake fleet, at their first connection",
        "templateBody": _compact(body),
        "enabled": True,
        "type": "JITP",
        "provisioningRoleArn": account.arn("iam", f"role/{ROLE}", region=False),
    }


def _bulk(material: Material, account: Account) -> dict[str, object]:
    certificate = {
        "CertificatePem": {"Ref": "CertificatePem"},
        "CACertificatePem": pem(material.issuing).decode("ascii"),
        "Status": "ACTIVE",
    }
    parameters = {"ThingName": "", "CertificatePem": ""}
    return {
        "templateBody": _compact(_body(parameters, {"Ref": "ThingName"}, certificate)),
        "inputFileKey": "devices.jsonl",
        "roleArn": account.arn("iam", f"role/{ROLE}", region=False),
    }


def _body(
    parameters: Iterable[str], thing: Mapping[str, str], certificate: Mapping[str, object]
) -> dict[str, object]:
    """A provisioning template: thing, certificate and policy, attached to each other."""
    return {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {
            "thing": {"Type": _THING_TYPE, "Properties": {"ThingName": thing}},
            "certificate": {"Type": _CERTIFICATE, "Properties": certificate},
            "policy": {"Type": _POLICY, "Properties": {"PolicyName": POLICY}},
        },
    }


def _register(
    material: Material, verification: x509.Certificate | None, jitp: bool
) -> dict[str, object]:
    request: dict[str, object] = {
        "caCertificate": pem(material.issuing).decode("ascii"),
        "setAsActive": True,
        "allowAutoRegistration": True,
        "certificateMode": "SNI_ONLY" if verification is None else "DEFAULT",
    }
    if verification is not None:
        request["verificationCertificate"] = pem(verification).decode("ascii")
    if jitp:
        request["registrationConfig"] = {"templateName": TEMPLATE}
    return request


def _rule(account: Account) -> dict[str, object]:
    """What calls a function of yours for each certificate that AWS sees for the first time."""
    arn = account.arn("lambda", f"function:{FUNCTION}")
    return {
        "ruleName": RULE,
        "topicRulePayload": {
            "sql": "SELECT * FROM '$aws/events/certificates/registered/#'",
            "awsIotSqlVersion": "2016-03-23",
            "actions": [{"lambda": {"functionArn": arn}}],
        },
    }


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
