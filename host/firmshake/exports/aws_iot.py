"""What registers the CA and its devices with AWS IoT Core. Does no I/O.

The CA that is registered is the intermediate that issues: AWS wants the one that signed the device
certificates, devices send it along, and the root's key stays where it is. Requests as in the
service model of AWS IoT, 2015-05-28 (botocore has it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from firmshake.exports import devicelist
from firmshake.exports.devicelist import Listed, json_line, json_text
from firmshake.exports.material import README, Files, Material, pem, readme

POLICY = "firmshake-device"
TEMPLATE = "firmshake-jitp"
ROLE = "firmshake-jitp"
FUNCTION = "firmshake-jitr"
RULE = "firmshake_jitr"
CA = "issuing-ca.crt"
VERIFICATION = "verification.crt"

# a thing's name (CreateThing): no dot
_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_THING_TYPE, _CERTIFICATE, _POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
_COMMON_NAME, _ID = "AWS::IoT::Certificate::CommonName", "AWS::IoT::Certificate::Id"
# in a policy: the thing that has the client id for its name, if the certificate is attached to it
_SELF = "${iot:Connection.Thing.ThingName}"


@dataclass(frozen=True)
class Account:
    """Where in AWS: the number of the account, and the region."""

    number: str
    region: str

    @property
    def partition(self) -> str:
        """The part of AWS that the region is in, as resource names (ARNs) say it."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def arn(self, service: str, resource: str, region: bool = True) -> str:
        """Return the name of a resource of this account."""
        where = self.region if region else ""
        return f"arn:{self.partition}:{service}:{where}:{self.number}:{resource}"


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
        README: _readme(material, account, verified=verification is not None),
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


def _readme(material: Material, account: Account, verified: bool) -> str:
    managed = f"arn:{account.partition}:iam::aws:policy/service-role/AWSIoTThingsRegistration"
    where = f"--region {account.region}"
    steps = [
        "Know first: the endpoint's certificate is from Amazon's CA, not from yours. firmshake's"
        " own agent checks the broker by the fleet's root, and does not connect there. This is for a"
        " program of yours that trusts Amazon Root CA 1 and 3, asks for the endpoint by its name"
        " (SNI), and sends its certificate with the intermediate's behind it:\n"
        f"  aws iot describe-endpoint --endpoint-type iot:Data-ATS {where}",
        "Make the policy of the devices, and the role that AWS registers them with:\n"
        f"  aws iot create-policy {where} --cli-input-json file://create-policy.json\n"
        f"  aws iam create-role --role-name {ROLE}"
        " --assume-role-policy-document file://role-trust.json\n"
        f"  aws iam attach-role-policy --role-name {ROLE} --policy-arn {managed}",
        "Make the template by which a device becomes a thing at its first connection (JITP):\n"
        f"  aws iot create-provisioning-template {where}"
        " --cli-input-json file://create-provisioning-template.json",
        _mode(where, verified),
        "Register the CA:\n"
        f"  aws iot register-ca-certificate {where} --cli-input-json file://register-ca-jitp.json",
        "That is all: a device that connects is made known, and its first connection is ended by"
        " AWS meanwhile; the next one succeeds.",
    ]
    notes = {
        "Who gets in": (
            "Devices whose certificate was issued by the CA in issuing-ca.crt, which each sends"
            " along. The policy lets a device connect with its own id alone, and into"
            " devices/<its id>/... alone. After the intermediate is renewed, export again and"
            " register the new one beside the old. Device ids with a dot can't be a thing's name"
            " and are left out of devices.jsonl."
        ),
        "Known beforehand: bulk registration": (
            "Instead of waiting for their first connection, register all devices at once. Put the"
            " list into a bucket that the role may read, and name the bucket:\n"
            "  aws s3 cp devices.jsonl s3://BUCKET/devices.jsonl\n"
            f"  aws iot start-thing-registration-task {where} --input-file-bucket BUCKET"
            " --cli-input-json file://start-thing-registration-task.json"
        ),
        "Your own decision at first sight: JITR": (
            "To decide about each device yourself, register the CA with register-ca-jitr.json in"
            " place of register-ca-jitp.json. A new certificate then waits as PENDING_ACTIVATION,"
            f" and your Lambda function {FUNCTION} is told of it. The function makes the thing,"
            " attaches certificate and policy, and sets the certificate ACTIVE (CreateThing,"
            " AttachThingPrincipal, AttachPolicy, UpdateCertificate):\n"
            f"  aws iot create-topic-rule {where} --cli-input-json"
            " file://create-topic-rule-jitr.json\n"
            f"  aws lambda add-permission {where} --function-name {FUNCTION} --statement-id"
            " firmshake --action lambda:InvokeFunction --principal iot.amazonaws.com"
            f" --source-account {account.number} --source-arn {account.arn('iot', f'rule/{RULE}')}"
        ),
        "Revoked devices": (
            "AWS reads no list of the revoked. After each firmshake ca revoke export again, and"
            " tell it of each; one that it has never seen is an error, and can be passed over:\n"
            "  while read -r line; do\n"
            f'    aws iot update-certificate {where} --cli-input-json "$line"\n'
            "  done < revoked.jsonl\n"
            "It counts at once, for connected devices too. A device that was revoked before its"
            " first connection would be registered by JITP: register it first (devices.jsonl of"
            " an earlier export), or use JITR and look it up."
        ),
    }
    return readme(f"AWS IoT Core for the fleet {material.fleet}", steps, notes)


def _mode(where: str, verified: bool) -> str:
    if verified:
        return (
            "The CA is registered in DEFAULT mode: for this account alone in its region, with"
            f" {VERIFICATION} as the proof that the key is yours. It holds for a day; the code in"
            " it has to be the account's still:\n"
            f"  aws iot get-registration-code {where}"
        )
    return (
        "The CA is registered in SNI_ONLY mode: without a proof that its key is yours, and other"
        " accounts may register it too. Each device has to send the endpoint's name by SNI. To have"
        " it for this account alone, get the code and export again with --code CODE:\n"
        f"  aws iot get-registration-code {where}"
    )
