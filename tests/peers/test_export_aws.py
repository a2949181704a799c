"""The program of `firmshake ca export aws-iot` that turns CAs away, in a real shell with OpenSSL.

In AWS's place is a program that answers as the AWS CLI does: it has the CAs under ids of its own.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmshake.ca import authority, certificate
from firmshake.exports import aws_iot
from firmshake.exports.material import Material, Retired

NOW = datetime.now(UTC)
ROOT, ISSUING = authority.create("greenhouse", now=NOW)
REVOKED, RENEWED = (ROOT.issue_authority("greenhouse", now=NOW).certificate for _ in range(2))
_, ELSEWHERE = authority.create("somebody else's", now=NOW)
IDS = {
    "a1" * 32: ISSUING.certificate,
    "b2" * 32: REVOKED,
    "c3" * 32: RENEWED,
    "d4" * 32: ELSEWHERE.certificate,
}
DEVICES = {ca: [f"{number}{ca[:7]}" * 8 for number in (5, 6)] for ca in IDS}

_AWS = """\
#!/bin/sh
cd "$(dirname "$0")"
test "$1 $2 $3" = "iot --region eu-central-1" || exit 2
case "$4" in
    list-ca-certificates) cat ids;;
    describe-ca-certificate) cat "ca-$6" || exit 254;;
    list-certificates-by-ca) cat "by-$6" || exit 254;;
    update-*) shift 3; echo "$@" >> told;;
    *) exit 2;;
esac
"""


@dataclass(frozen=True)
class Cloud:
    """The folder of the program `aws`, and that of the export."""

    folder: Path
    export: Path

    def run(self, file: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}:{os.environ['PATH']}"
        return subprocess.run(
            ["sh", "deactivate-cas.sh", file],
            cwd=self.export,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def told(self) -> list[str]:
        path = self.folder / "told"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    folder, export = tmp_path / "bin", tmp_path / "export"
    folder.mkdir()
    export.mkdir()
    (folder / "aws").write_text(_AWS)
    (folder / "aws").chmod(0o755)
    # the AWS CLI separates with tabs
    (folder / "ids").write_text("\t".join(IDS) + "\n")
    for ca, found in IDS.items():
        (folder / f"ca-{ca}").write_bytes(certificate.pem(found) + b"\n")
        (folder / f"by-{ca}").write_text("\t".join(DEVICES[ca]) + "\n")
    retired = (Retired(REVOKED, is_revoked=True), Retired(RENEWED, is_revoked=False))
    material = Material(
        fleet="greenhouse",
        host="broker.example",
        port=8883,
        root=ROOT.certificate,
        issuing=ISSUING.certificate,
        broker_chain=b"",
        crl=b"",
        retired=retired,
    )
    files = aws_iot.files(material, aws_iot.Account("123456789012", "eu-central-1"))
    for name, content in files.items():
        (export / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return Cloud(folder, export)


def deactivated(ca: str) -> str:
    return f"update-ca-certificate --certificate-id {ca} --cli-input-json file://deactivate-ca.json"


def test_a_revoked_ca_is_deactivated_before_all_that_it_signed_is_revoked(cloud: Cloud) -> None:
    done = cloud.run("revoked-cas.txt")
    assert done.returncode == 0, done.stderr
    ca = "b2" * 32
    gone = [
        f"update-certificate --certificate-id {one} --new-status REVOKED" for one in DEVICES[ca]
    ]
    assert cloud.told == [deactivated(ca), *gone]


def test_a_renewed_ca_is_deactivated_and_its_devices_stay(cloud: Cloud) -> None:
    done = cloud.run("retired-cas.txt")
    assert done.returncode == 0, done.stderr
    assert cloud.told == [deactivated("c3" * 32)]


def test_where_aws_does_not_answer_it_stops_and_says_so(cloud: Cloud) -> None:
    (cloud.folder / f"ca-{'a1' * 32}").unlink()
    done = cloud.run("revoked-cas.txt")
    assert done.returncode != 0
    assert cloud.told == []
