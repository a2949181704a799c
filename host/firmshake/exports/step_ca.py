"""What runs smallstep's step-ca with the project's CA. Does no I/O.

Keys as step-ca reads them: authority/config/config.go and authority/provisioner, 0.28.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from firmshake.exports.devicelist import json_text
from firmshake.exports.material import README, Files, Material, pem, readme

AT = "/etc/step-ca"
CONFIG = "config/ca.json"
ROOT, ISSUING = "certs/root.crt", "certs/issuing.crt"
KEY, PASSWORD = "secrets/issuing.key", "secrets/password.txt"
DEVICE, BROKER = "templates/device.tpl", "templates/broker.tpl"
PORT = 9000

# X5C: who shows a certificate of the fleet gets a new one of the same name, whatever it asks for
_DEVICE_TEMPLATE = """\
{{- /* The new certificate of a device that has one: its name is taken from the old one. */ -}}
{{- if not .AuthorizationCrt.URIs }}{{ fail "not the certificate of a device" }}{{ end -}}
{
	"subject": {"commonName": {{ toJson .AuthorizationCrt.Subject.CommonName }}},
	"uris": {{ toJson .AuthorizationCrt.URIs }},
	"keyUsage": ["digitalSignature"],
	"extKeyUsage": ["clientAuth"]
}
"""

# ACME: a broker that answers for its names gets a certificate for them, and for a server only
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
            "claims": {"disableSmallstepExtensions": True},
            "provisioners": [
                {
                    "type": "X5C",
                    "name": "devices",
                    "roots": base64.b64encode(pem(material.root)).decode("ascii"),
                    "claims": _claims(_DEVICE_TERM),
                    "options": {"x509": {"templateFile": material.path(DEVICE)}},
                },
                {
                    "type": "ACME",
                    "name": "brokers",
                    "claims": _claims(_BROKER_TERM),
                    "options": {"x509": {"templateFile": material.path(BROKER)}},
                },
            ],
        },
        "tls": {"minVersion": 1.2, "maxVersion": 1.3, "renegotiation": False},
    }


def _claims(term: str) -> dict[str, object]:
    return {
        "minTLSCertDuration": "1h",
        "maxTLSCertDuration": term,
        "defaultTLSCertDuration": term,
    }


def _readme(material: Material, names: Sequence[str]) -> str:
    at, url = material.at, f"https://{names[0]}:{PORT}"
    steps = [
        "Copy this folder to the computer of the step-ca (0.25 or later), for its user alone:\n"
        f"  sudo cp -r . {at}\n"
        f"  sudo mkdir -p {at}/secrets {at}/db",
        "Bring the issuing CA's key, which is not in this folder, under a passphrase of step-ca's"
        " own. firmshake encrypts it in a way (scrypt) that step-ca does not read; this asks for"
        " the old passphrase, then for the new one, and leaves nothing in clear. The key's file is"
        " the last one that ca/ca.toml names:\n"
        "  openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000"
        " -in ca/intermediate.key -out issuing.key\n"
        f"  sudo install -m 600 issuing.key {at}/{KEY}\n"
        f"Write the new passphrase into {at}/{PASSWORD}, mode 600. A key in a PKCS#11 token stays"
        " there: put its URI for key, and a kms of type pkcs11, into ca.json.",
        "Give all to the user that step-ca runs as:\n"
        f"  sudo chown -R step: {at}\n"
        f"  sudo chmod 700 {at} {at}/secrets",
        f"Start it:\n  sudo -u step step-ca {at}/{CONFIG} --password-file {at}/{PASSWORD}",
    ]
    notes = {
        "What it does then": (
            "A device renews its certificate, or gets one for a new key, by showing the one that"
            " it has. The name is taken from the old certificate, not from the request:\n"
            f"  step ca certificate DEVICE-ID new.crt new.key --provisioner devices"
            f" --x5c-cert old.crt --x5c-key old.key --ca-url {url} --root {ROOT}\n"
            "A broker gets and renews its certificate by ACME, at\n"
            f"  {url}/acme/brokers/directory"
        ),
        "Before you do it": (
            "Two programs then sign with one CA key. What step-ca issues is not in firmshake's"
            " registry: firmshake ca audit does not see it, and firmshake ca revoke does not know"
            " its serial number, so it can't be on the lists that brokers read. step-ca keeps its"
            " own count, and its own list (crl in ca.json), of what it issued alone. Better: give"
            " step-ca an intermediate of its own below the same root; brokers trust the root, and"
            " take its certificates without a change. The passphrase lies in a file beside the"
            " key: whoever has that computer has the CA."
        ),
    }
    return readme(f"step-ca for the fleet {material.fleet}", steps, notes)
