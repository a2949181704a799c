"""The requests to AWS by botocore's model of its service, the lists of devices, the proofs."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.validate import ParamValidator
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from firmshake.ca import authority, certificate
from firmshake.ca.verification import verification_certificate
from firmshake.errors import Error
from firmshake.exports import aws_iot, azure_dps, devicelist
from firmshake.exports.devicelist import Listed
from firmshake.exports.material import Files, Material, Retired

NOW = datetime.now(UTC)
ROOT, ISSUING = authority.create("greenhouse", now=NOW)
CODE = "0123456789abcdef" * 4
ACCOUNT = aws_iot.Account("123456789012", "eu-central-1")
MATERIAL = Material(
    fleet="Greenhouse No. 7",
    host="broker.example",
    port=8883,
    root=ROOT.certificate,
    issuing=ISSUING.certificate,
    broker_chain=b"",
    crl=b"",
)
MODEL = botocore.session.get_session().get_service_model("iot")
REQUESTS = {
    "create-policy.json": "CreatePolicy",
    "create-provisioning-template.json": "CreateProvisioningTemplate",
    "register-ca-jitp.json": "RegisterCACertificate",
    "register-ca-jitr.json": "RegisterCACertificate",
    "create-topic-rule-jitr.json": "CreateTopicRule",
    "start-thing-registration-task.json": "StartThingRegistrationTask",
    "deactivate-ca.json": "UpdateCACertificate",
}
# what the README or a program has on the command line
BESIDE = {
    "start-thing-registration-task.json": {"inputFileBucket": "a-bucket"},
    "deactivate-ca.json": {"certificateId": "0123456789abcdef" * 4},
}


def proof() -> x509.Certificate:
    return verification_certificate(ISSUING, CODE, NOW)


def document(files: Files, name: str) -> dict[str, Any]:
    content = files[name]
    assert isinstance(content, str)
    found = json.loads(content)
    assert isinstance(found, dict)
    return found


def accept(operation: str, request: dict[str, Any]) -> None:
    """By names, types and what is required; then by lengths, patterns and lists of values."""
    shape = MODEL.operation_model(operation).input_shape
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    check(shape, request)


def check(shape: Any, value: Any) -> None:
    if shape.type_name == "structure":
        for name, inner in value.items():
            check(shape.members[name], inner)
    elif shape.type_name == "list":
        for inner in value:
            check(shape.member, inner)
    elif shape.type_name == "string":
        limits = shape.metadata
        assert limits.get("min", 0) <= len(value) <= limits.get("max", len(value)), value
        if "pattern" in limits and "\\p{" not in limits["pattern"]:  # Java's, unknown to Python
            assert re.fullmatch(limits["pattern"], value), value
        assert value in (shape.enum or [value])


@pytest.mark.parametrize("verified", [False, True])
@pytest.mark.parametrize("name", REQUESTS)
def test_aws_takes_the_request(name: str, verified: bool) -> None:
    files = aws_iot.files(MATERIAL, ACCOUNT, proof() if verified else None)
    request = document(files, name)
    accept(REQUESTS[name], request | BESIDE.get(name, {}))


def test_a_request_that_is_wrong_is_seen() -> None:
    with pytest.raises(AssertionError):
        accept("CreatePolicy", {"policyName": "a b", "policyDocument": "{}"})
    with pytest.raises(AssertionError):
        accept("RegisterCACertificate", {"caCertificate": "x", "certificateMode": "ELSE"})


@pytest.mark.parametrize("name", ["register-ca-jitp.json", "register-ca-jitr.json"])
def test_the_mode_follows_from_the_proof(name: str) -> None:
    """RegisterCACertificate: SNI_ONLY without, DEFAULT with a verification certificate."""
    without = document(aws_iot.files(MATERIAL, ACCOUNT), name)
    assert without["certificateMode"] == "SNI_ONLY"
    assert "verificationCertificate" not in without
    verified = document(aws_iot.files(MATERIAL, ACCOUNT, proof()), name)
    assert verified["certificateMode"] == "DEFAULT"
    pem = verified["verificationCertificate"].encode()
    shown = x509.load_pem_x509_certificate(pem)
    assert certificate.subject(shown) == CODE
    registered = x509.load_pem_x509_certificate(verified["caCertificate"].encode())
    assert certificate.issued_by(shown, registered)
    assert registered == ISSUING.certificate
    assert ("registrationConfig" in verified) == (name == "register-ca-jitp.json")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (
            "create-provisioning-template.json",
            {"AWS::IoT::Certificate::CommonName", "AWS::IoT::Certificate::Id"},
        ),
        ("start-thing-registration-task.json", {"ThingName", "CertificatePem"}),
    ],
)
def test_a_template_refers_to_its_parameters_and_to_the_policy(
    name: str, parameters: set[str]
) -> None:
    files = aws_iot.files(MATERIAL, ACCOUNT)
    body = json.loads(document(files, name)["templateBody"])
    assert set(body["Parameters"]) == parameters
    assert set(re.findall('"Ref": "([^"]+)"', json.dumps(body))) == parameters
    policy = body["Resources"]["policy"]["Properties"]["PolicyName"]
    assert policy == document(files, "create-policy.json")["policyName"]
    assert {one["Type"] for one in body["Resources"].values()} == {
        *("AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy")
    }


def test_the_policy_gives_a_device_its_own_topics_by_its_certificate() -> None:
    files = aws_iot.files(MATERIAL, ACCOUNT)
    policy = document(files, "device-policy.json")
    assert json.loads(document(files, "create-policy.json")["policyDocument"]) == policy
    connect, *others = policy["Statement"]
    assert connect["Condition"] == {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
    own = "${iot:Connection.Thing.ThingName}"
    assert connect["Resource"] == f"arn:aws:iot:eu-central-1:123456789012:client/{own}"
    for one in others:
        assert one["Resource"].endswith(f"/devices/{own}/*")
    assert "*" not in json.dumps(policy).replace(f"/{own}/*", "")


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_names_are_of_the_regions_part_of_aws(region: str, partition: str) -> None:
    account = aws_iot.Account("123456789012", region)
    for content in aws_iot.files(MATERIAL, account).values():
        found = re.findall("arn:([a-z-]+):", str(content))
        assert set(found) <= {partition}


# CAs that issue no more

REVOKED, RENEWED = (
    Retired(ROOT.issue_authority("greenhouse", now=NOW).certificate, is_revoked=revoked)
    for revoked in (True, False)
)
AFTER = dataclasses.replace(MATERIAL, retired=(REVOKED, RENEWED))


def test_aws_is_told_of_a_ca_that_was_revoked_and_of_one_that_was_renewed() -> None:
    before, after = (aws_iot.files(one, ACCOUNT) for one in (MATERIAL, AFTER))
    assert before["revoked-cas.txt"] == before["retired-cas.txt"] == ""
    assert after["revoked-cas.txt"] == certificate.fingerprint(REVOKED.certificate) + "\n"
    assert after["retired-cas.txt"] == certificate.fingerprint(RENEWED.certificate) + "\n"
    request = document(after, "deactivate-ca.json")
    assert request == {"newStatus": "INACTIVE", "newAutoRegistrationStatus": "DISABLE"}


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("ListCACertificates", {}),
        ("DescribeCACertificate", {"certificateId": "ab" * 32}),
        ("ListCertificatesByCA", {"caCertificateId": "ab" * 32}),
        ("UpdateCertificate", {"certificateId": "ab" * 32, "newStatus": "REVOKED"}),
    ],
)
def test_the_program_for_revoked_cas_asks_aws_for_what_it_has(
    operation: str, words: dict[str, str]
) -> None:
    accept(operation, words)
    program = aws_iot.files(AFTER, ACCOUNT)["deactivate-cas.sh"]
    assert isinstance(program, str)
    # by the names of the command line, as botocore makes them
    assert f"$iot {botocore.xform_name(operation, '-')}" in program.replace("cacert", "ca-cert")
    for name in words:
        assert f" --{botocore.xform_name(name, '-')} " in program


def test_azure_is_told_which_groups_to_disable_and_each_ca_has_one_of_its_own() -> None:
    names = [azure_dps.name(AFTER, one.certificate) for one in AFTER.retired]
    own = azure_dps.group(AFTER, verified=False)["enrollmentGroupId"]
    assert len({own, *names}) == 3
    readme = str(azure_dps.files(AFTER)["README.txt"])
    disabled = re.findall(r"--enrollment-id (\S+) --provisioning-status disabled", readme)
    assert disabled == names
    assert re.findall(r"/registrations/([^/]+)/query", readme) == [names[0]]
    assert "--provisioning-status" not in str(azure_dps.files(MATERIAL)["README.txt"])


def test_a_key_with_a_certificate_that_is_good_is_trusted() -> None:
    key, good = certificate.own_key(REVOKED.certificate), dataclasses.replace(REVOKED)
    assert AFTER.untrusted == {key}
    again = dataclasses.replace(good, is_revoked=False)
    assert dataclasses.replace(AFTER, retired=(REVOKED, again)).untrusted == frozenset()
    same = dataclasses.replace(AFTER, issuing=REVOKED.certificate)
    assert same.untrusted == frozenset()


# lists


def listed(number: int, *, revoked: bool = False, gone: bool = False, name: str = "") -> Listed:
    made = ISSUING.issue(name or f"pump-{number}", now=NOW).certificate
    return Listed(
        device_id=name or f"pump-{number}",
        serial_number=certificate.serial(made),
        fingerprint_sha256=certificate.fingerprint(made),
        not_after=made.not_valid_after_utc,
        der=made.public_bytes(Encoding.DER),
        is_revoked=revoked,
        is_gone=gone,
    )


SOME = [
    listed(1),
    listed(2, revoked=True),  # superseded: the next is the device's own, too
    listed(2),
    listed(3, revoked=True, gone=True),
    listed(4, name="with.dot"),
]


def test_awss_list_has_what_its_template_asks_for_and_what_it_can_name() -> None:
    lines = [json.loads(line) for line in aws_iot.bulk_lines(SOME)]
    assert [line["ThingName"] for line in lines] == ["pump-1", "pump-2"]
    for line in lines:
        assert set(line) == {"ThingName", "CertificatePem"}
        found = x509.load_pem_x509_certificate(line["CertificatePem"].encode())
        assert certificate.subject(found) == line["ThingName"]
    assert not aws_iot.can_list("with.dot")


def test_aws_is_told_of_every_revoked_certificate() -> None:
    requests = [json.loads(line) for line in aws_iot.revoked_lines(SOME)]
    for request in requests:
        accept("UpdateCertificate", request)
    gone = [one.fingerprint_sha256 for one in SOME if one.is_revoked]
    assert [request["certificateId"] for request in requests] == gone


# IndividualEnrollment of the REST API, 2021-10-01
ENROLLMENT = {
    *("capabilities", "registrationId", "deviceId", "optionalDeviceInformation", "attestation"),
    *("iotHubHostName", "initialTwin", "etag", "provisioningStatus", "reprovisionPolicy"),
    *("allocationPolicy", "iotHubs", "customAllocationDefinition"),
}


def operations(lines: Iterator[bytes]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines]
    for one in found:
        # BulkEnrollmentOperation; at most ten a request
        assert set(one) == {"enrollments", "mode"}
        assert one["mode"] in ("create", "update", "updateIfMatchETag", "delete")
        assert 1 <= len(one["enrollments"]) <= 10
        for enrollment in one["enrollments"]:
            assert set(enrollment) <= ENROLLMENT
            assert {"registrationId", "attestation"} <= set(enrollment)
            assert enrollment["attestation"]["type"] == "x509"
    return [enrollment for one in found for enrollment in one["enrollments"]]


def test_azures_list_holds_each_good_device_with_its_certificate() -> None:
    many = [*SOME, *(listed(number) for number in range(10, 30))]
    found = operations(azure_dps.bulk_lines(many))
    good = [one for one in many if not one.is_revoked]
    assert [one["registrationId"] for one in found] == [one.device_id for one in good]
    assert {one["provisioningStatus"] for one in found} == {"enabled"}
    for enrollment, one in zip(found, good, strict=True):
        shown = enrollment["attestation"]["x509"]["clientCertificates"]["primary"]["certificate"]
        assert base64.b64decode(shown) == one.der


def test_azure_turns_away_who_has_nothing_good_left_and_nobody_else() -> None:
    found = operations(azure_dps.revoked_lines(SOME))
    assert [(one["registrationId"], one["provisioningStatus"]) for one in found] == [
        ("pump-3", "disabled")
    ]


@pytest.mark.parametrize(
    ("device_id", "takes"), [("a", True), ("a.b_c-d", True), ("a.", False), ("a_", False)]
)
def test_azure_is_not_given_what_it_does_not_take(device_id: str, takes: bool) -> None:
    assert azure_dps.can_list(device_id) == takes


def test_the_csv_says_how_each_certificate_stands() -> None:
    content = b"".join(devicelist.csv_lines(SOME)).decode()
    rows = list(csv.DictReader(io.StringIO(content)))
    assert tuple(rows[0]) == devicelist.COLUMNS
    assert [row["status"] for row in rows] == ["good", "revoked", "good", "revoked", "good"]
    assert rows[0]["fingerprint_sha256"] == SOME[0].fingerprint_sha256


@pytest.mark.parametrize("make", [*aws_iot.LISTS.values(), *azure_dps.LISTS.values()])
def test_a_list_is_made_as_its_devices_come(make: Any) -> None:
    """Of a fleet without an end: whoever gathered it first would never be done."""
    endless = itertools.cycle([listed(1), listed(3, revoked=True, gone=True)])
    assert len(list(itertools.islice(make(endless), 3))) == 3


# the proof


def test_a_verification_certificate_is_for_its_code_and_nothing_else() -> None:
    made = proof()
    assert certificate.subject(made) == CODE
    assert certificate.issued_by(made, ISSUING.certificate)
    assert made.not_valid_after_utc - NOW <= timedelta(days=1)
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca
    for absent in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage):
        with pytest.raises(x509.ExtensionNotFound):
            made.extensions.get_extension_for_class(absent)
    assert proof().public_key() != made.public_key()


@pytest.mark.parametrize(
    "code", ["", "short", "x" * 65, "with space in it", "code\n12345", "é" * 9]
)
def test_what_is_no_code_is_refused_as_wrong_usage(code: str) -> None:
    with pytest.raises(Error) as caught:
        verification_certificate(ISSUING, code, NOW)
    assert caught.value.status == 2


def test_an_expired_ca_proves_nothing() -> None:
    with pytest.raises(Error, match="expired"):
        verification_certificate(ISSUING, CODE, ISSUING.certificate.not_valid_after_utc)
