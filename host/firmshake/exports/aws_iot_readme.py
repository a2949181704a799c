"""What to do with the files for AWS IoT Core, in order; and what the account is called there.

Does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmshake.exports.aws_iot_deactivate import NAME as DEACTIVATE
from firmshake.exports.aws_iot_deactivate import RETIRED_CAS, REVOKED_CAS
from firmshake.exports.material import Material, readme

ROLE = "firmshake-jitp"
FUNCTION = "firmshake-jitr"
RULE = "firmshake_jitr"
VERIFICATION = "verification.crt"


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


def text(material: Material, account: Account, verified: bool) -> str:
    """Return the README; `verified` says whether the proof of the CA's key is among the files."""
    managed = f"arn:{account.partition}:iam::aws:policy/service-role/AWSIoTThingsRegistration"
    where = f"--region {account.region}"
    steps = [
        "Know first: the endpoint's certificate is from Amazon's CA, not from yours. firmshake's"
        " own agent checks the broker by the fleet's root, and does not connect there. This is for"
        " a program of yours that trusts Amazon Root CA 1 and 3, asks for the endpoint by its name"
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
            "It counts within minutes, for connected devices too. A device that was revoked before"
            " its first connection would be registered by JITP: register it first (devices.jsonl of"
            " an earlier export), or use JITR and look it up."
        ),
        "Revoked and retired CAs": (
            "AWS does not learn by itself that a CA was revoked, and goes on to register what it"
            " signs. After firmshake ca revoke of an intermediate export again, and have it"
            " deactivated (INACTIVE, no registration any more), and every certificate that AWS has"
            f" from it revoked, those that a thief had signed among them ({REVOKED_CAS} says which"
            " CAs):\n"
            f"  sh {DEACTIVATE} {REVOKED_CAS}\n"
            "A CA that was renewed and not revoked may stay until each of its boards has connected"
            " once, or is registered beforehand. Then let it register no more; its boards stay in:"
            "\n"
            f"  sh {DEACTIVATE} {RETIRED_CAS}"
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
