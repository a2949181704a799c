"""What runs smallstep's step-ca with the project's CA. Does no I/O.

Keys as step-ca reads them: authority/config/config.go and authority/provisioner, 0.28.

There is no X5C provisioner for the devices: whoever has a certificate could revoke another's at it.
They do not need one, for they renew over TLS with the certificate that they have.
"""

from __future__ import annotations

from collections.abc import Sequence

from firmshake.ca.certificate import pem
from firmshake.exports.devicelist import json_text
from firmshake.exports.material import README, Files, Material, readme

AT = "/etc/step-ca"
CONFIG = "config/ca.json"
ROOT, ISSUING = "certs/root.crt", "certs/issuing.crt"
KEY, PASSWORD = "secrets/issuing.key", "secrets/password.txt"
DEVICE, BROKER = "templates/device.tpl", "templates/broker.tpl"
PORT = 9000

# as firmshake issues them: the id in the common name and in a URI
_DEVICE_TEMPLATE = """\
{{- /* The certificate of a device, as firmshake issues it; for a client only. */ -}}
{
	"subject": {"commonName": {{ toJson .Subject.CommonName }}},
	"uris": [{{ printf "urn:firmshake:device:%s" .Subject.CommonName | toJson }}],
	"keyUsage": ["digitalSignature"],
	"extKeyUsage": ["clientAuth"]
}
"""
_BROKER_TEMPLATE = """\
{{- /* The certificate of a broker: for a server only, so that it is no way in as a device. */ -}}
{
	"subject": {{ toJson .Subject }},
	"sans": {{ toJson .SANs }},
	"keyUsage": ["digitalSignature"],
	"extKeyUsage": ["serverAuth"]
}
"""

_DEVICE_TERM, _BROKER_TERM = "87648h", "9528h"  # the terms of firmshake's own profiles


def files(material: Material, names: Sequence[str]) -> Files:
    """Return the files, by name; `names` are the DNS names and addresses of the step-ca itself."""
    return {
        CONFIG: json_text(config(material, names)),
        ROOT: pem(material.root),
        ISSUING: pem(material.issuing),
        DEVICE: _DEVICE_TEMPLATE,
        BROKER: _BROKER_TEMPLATE,
        README: _readme(material, names),
    }


def config(material: Material, names: Sequence[str]) -> dict[str, object]:
    """Return ca.json. The password is not in it: step-ca gets it from a file."""
    return {
        "root": material.path(ROOT),
        "crt": material.path(ISSUING),
        "key": material.path(KEY),
        "address": f":{PORT}",
        "dnsNames": list(names),
        "logger": {"format": "text"},
        "db": {"type": "badgerv2", "dataSource": material.path("db")},
        "authority": {
            "backdate": "1h",
            "provisioners": [
                {
                    "type": "ACME",
                    "name": "brokers",
                    "claims": {
                        "minTLSCertDuration": "1h",
                        "maxTLSCertDuration": _BROKER_TERM,
                        "defaultTLSCertDuration": _BROKER_TERM,
                        # an extension that nobody but step-ca knows
                        "disableSmallstepExtensions": True,
                    },
                    "options": {"x509": {"templateFile": material.path(BROKER)}},
                }
            ],
        },
        "tls": {"minVersion": 1.2, "maxVersion": 1.3, "renegotiation": False},
    }


def _readme(material: Material, names: Sequence[str]) -> str:
    at, url = material.at, f"https://{names[0]}:{PORT}"
    steps = [
        "Read the notes below first: they say what you give up.",
        "Copy this folder to the computer of the step-ca (0.28 or later), for its user alone:\n"
        f"  sudo cp -r . {at}\n"
        f"  sudo mkdir -p {at}/secrets {at}/db",
        _key(material),
        "Give all to the user that step-ca runs as:\n"
        f"  sudo chown -R step: {at}\n"
        f"  sudo chmod 700 {at} {at}/secrets",
        "Make yourself an operator, who may have devices certified. It asks for a password:\n"
        f"  sudo -u step step ca provisioner add operator --type JWK --create"
        f" --ca-config {at}/{CONFIG} --x509-template {at}/{DEVICE}"
        f" --x509-default-dur {_DEVICE_TERM} --x509-max-dur {_DEVICE_TERM}",
        f"Start it:\n  sudo -u step step-ca {at}/{CONFIG} --password-file {at}/{PASSWORD}",
    ]
    reach = f"--ca-url {url} --root {ROOT}"
    notes = {
        "What it does then": (
            "The operator has a device certified; a device renews, over TLS with the certificate"
            " that it has, under the same name and for the same term; a broker gets and renews its"
            " certificate by ACME:\n"
            f"  step ca certificate DEVICE-ID new.crt new.key --provisioner operator {reach}\n"
            f"  step ca renew device.crt device.key {reach}\n"
            f"  {url}/acme/brokers/directory"
        ),
        "Two programs then sign with one CA key": (
            "What step-ca issues is not in firmshake's registry: firmshake ca audit does not see"
            " it, and firmshake ca revoke does not know its serial number, so it can't be on the"
            " lists that brokers read. Better: give step-ca an intermediate of its own below the"
            " same root; brokers trust the root, and take its certificates without a change. The"
            " passphrase lies in a file beside the key: whoever has that computer has the CA."
        ),
        "Revoked devices": (
            "step-ca does not read firmshake's lists either. It renews any certificate of the CA"
            " that has not run out, also one that firmshake has revoked, and the new one is on no"
            " list: a stolen board lets itself back in. So revoke each at both, before anything"
            " else at step-ca (firmshake ca list says the serial number):\n"
            f"  step ca revoke 0xSERIAL --provisioner operator {reach}"
        ),
    }
    return readme(f"step-ca for the fleet {material.fleet}", steps, notes)


def _key(material: Material) -> str:
    if material.issuing_key.startswith("pkcs11:"):
        return (
            "The issuing CA's key is in a PKCS#11 token. In ca.json, put the key's URI for key, and"
            " add a kms of type pkcs11 with the token's; step-ca has to be built with PKCS#11."
        )
    return (
        "Bring the issuing CA's key, which is not in this folder, under a passphrase of step-ca's"
        " own. firmshake encrypts it in a way (scrypt) that step-ca does not read. In the project,"
        " this asks for the old passphrase and for a new one, and leaves nothing in clear:\n"
        "  openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000"
        f" -in ca/{material.issuing_key} -out issuing.key\n"
        f"Bring issuing.key to {material.at}/{KEY}, mode 600, delete the copy here, and type the"
        " new passphrase into a file:\n"
        f"  sudo install -m 600 /dev/null {material.at}/{PASSWORD}\n"
        f"  sudoedit {material.at}/{PASSWORD}"
    )
