"""The program that turns away a CA at AWS IoT Core, as it is written into an export.

It is for a shell with the AWS CLI and OpenSSL, on a computer without firmshake. Does no I/O.
"""

from __future__ import annotations

NAME = "deactivate-cas.sh"
# a SHA-256 fingerprint of the certificate a line
REVOKED_CAS = "revoked-cas.txt"
RETIRED_CAS = "retired-cas.txt"

# AWS does not say how it makes the id of a CA: so each that is registered is asked for
_PROGRAM = """\
#!/bin/sh
# Turns away CAs of the fleet at AWS IoT: those whose certificates have the SHA-256 fingerprints in
# FILE. Of revoked-cas.txt, all certificates that they signed are revoked, too, whoever had them
# signed. Needs the AWS CLI and OpenSSL. It may be run again.
#
#     sh deactivate-cas.sh FILE
set -eu
file=$1
iot="aws iot --region @REGION@"

mark() {
    $iot describe-ca-certificate --certificate-id "$1" --output text \\
        --query certificateDescription.certificatePem \\
        | openssl x509 -noout -fingerprint -sha256 | cut -d= -f2 | tr -d : | tr A-F a-f
}

ids=$($iot list-ca-certificates --output text --query 'certificates[].certificateId')
for ca in $ids; do
    found=$(mark "$ca")
    test -n "$found"
    grep -qx "$found" "$file" || continue
    echo "deactivating $found"
    $iot update-ca-certificate --certificate-id "$ca" --cli-input-json file://deactivate-ca.json
    test "${file##*/}" = @REVOKED@ || continue
    signed=$($iot list-certificates-by-ca --ca-certificate-id "$ca" --output text \\
        --query 'certificates[].certificateId')
    for one in $signed; do
        echo "revoking $one"
        $iot update-certificate --certificate-id "$one" --new-status REVOKED
    done
done
"""


def program(region: str) -> str:
    """Return the program for CAs that are registered in that region."""
    return _PROGRAM.replace("@REGION@", region).replace("@REVOKED@", REVOKED_CAS)
