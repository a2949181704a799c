"""The files of a NanoMQ that lets in the fleet's devices. Does no I/O.

Keys as NanoMQ reads them: src/supplemental/nanolib/conf_ver2.c and acl_conf.c of NanoNNG, 0.25.
"""

from __future__ import annotations

import json

from firmshake import watcher
from firmshake.exports.material import (
    README,
    Files,
    Material,
    broker_files,
    key_step,
    readme,
    trial,
)

AT = "/etc/nanomq"
CONF = "nanomq.conf"
ACL = "nanomq_acl.conf"
CHECK = "check_identity.py"
CHECK_PORT = 8991
LIBRARY = "/usr/local/lib/firmshake"

_RULES: tuple[dict[str, object], ...] = (
    {
        "permit": "allow",
        "clientid": watcher.NAME,
        "action": "subscribe",
        "topics": [watcher.TOPICS],
    },
    {"permit": "deny", "clientid": watcher.NAME},
    {
        "permit": "allow",
        "username": "#",
        "action": "pubsub",
        "topics": ["devices/${clientid}/#"],
    },
    {"permit": "deny"},
)
_LINES = "".join(f"\t{json.dumps(rule)}\n" for rule in _RULES)
_ACL = f"""\
# firmshake fleet watch reads what the devices report, and nothing else. No device is called so. A
# device may use the topics below devices/<its own id>/ and no other. NanoMQ puts the client id in
# place of the placeholder: this one line does for the whole fleet. check_identity.py sees to it
# that the client id is the one in the certificate.
rules = [
{_LINES}]
"""

_CHECK = '''\
"""Tells NanoMQ whether a client is who it says: its client id is its certificate's common name.

NanoMQ checks that a certificate is the fleet's, but takes any client id beside it. It asks here at
each connection, and lets in whom it gets status 200 for. Needs Python 3.7 or later, nothing else:

    python3 check_identity.py [PORT]
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

# a form of two names; more is nothing that NanoMQ sends
LONGEST = 4096


class Check(BaseHTTPRequestHandler):
    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        size = int(length) if length.isdigit() else 0
        form = parse_qs(self.rfile.read(min(size, LONGEST)).decode("utf-8", "replace"))
        clientid, common = form.get("clientid", []), form.get("common", [])
        # one of each, neither empty
        good = len(clientid) == 1 and clientid == common
        self.send_response(200 if good else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8991
    with ThreadingHTTPServer(("127.0.0.1", port), Check) as server:
        print("listening on port", server.server_port, flush=True)
        server.serve_forever()
'''


def files(material: Material) -> Files:
    """Return the files, by name."""
    common = broker_files(material)
    del common["crl.pem"]  # NanoMQ reads none
    return {
        **common,
        CONF: _conf(material),
        ACL: _ACL,
        CHECK: _CHECK,
        README: _readme(material),
    }


def _conf(material: Material) -> str:
    return f"""\
# MQTT over TLS, with a client certificate, is the one way in: no other listener is opened
listeners.ssl {{
    bind = "0.0.0.0:{material.port}"
    # who we are: the broker's certificate with the intermediate CA's behind it, and its key
    certfile = "{material.path("broker.crt")}"
    keyfile = "{material.path("broker.key")}"
    # whom we let in: clients with a certificate that leads to the fleet's root CA
    cacertfile = "{material.path("ca.crt")}"
    verify_peer = true
    fail_if_no_peer_cert = true
}}

auth {{
    # the certificate is what a device shows: it has no password
    allow_anonymous = true
    no_match = deny
    deny_action = ignore
    acl = {{include "{material.path(ACL)}"}}
    # NanoMQ does not hold the client id against the certificate: check_identity.py does
    http_auth = {{
        auth_req {{
            url = "http://127.0.0.1:{CHECK_PORT}/"
            method = "POST"
            headers.content-type = "application/x-www-form-urlencoded"
            params = {{clientid = "%c", common = "%C"}}
        }}
        timeout = 5s
        connect_timeout = 5s
        pool_size = 32
    }}
}}
"""


def _readme(material: Material) -> str:
    at = material.at
    steps = [
        "Copy this folder to the broker. NanoMQ 0.22 or later, built with TLS (the packages whose"
        " name ends in -full are):\n"
        f"  sudo mkdir -p {at}\n"
        f"  sudo cp * {at}/\n"
        f"  sudo chmod 700 {at}",
        key_step(material),
        f"Have {CHECK} started at boot, before NanoMQ, from a place that anybody may read:\n"
        f"  sudo install -D -m 644 {CHECK} {LIBRARY}/{CHECK}\n"
        "As /etc/systemd/system/firmshake-check.service:\n"
        "  [Unit]\n"
        "  Before=nanomq.service\n"
        "  [Service]\n"
        f"  ExecStart=/usr/bin/python3 {LIBRARY}/{CHECK}\n"
        "  DynamicUser=yes\n"
        "  Restart=always\n"
        "  [Install]\n"
        "  WantedBy=multi-user.target\n"
        "and then:\n"
        "  sudo systemctl enable --now firmshake-check",
        f"Start NanoMQ with it:\n  nanomq start --conf {at}/{CONF}",
        trial(
            material,
            "See that check_identity.py is in force, too, before you rely on it: the first of these"
            " two commands with -i other in place of -i trial has to be refused.\n",
        ),
    ]
    notes = {
        "Who gets in": (
            "Clients with a certificate of this fleet's CA whose client id is the certificate's"
            " common name. Each has devices/<its id>/# and nothing else; firmshake fleet watch,"
            f" with the name {watcher.NAME}, reads {watcher.TOPICS} and nothing else. Without"
            " check_identity.py, NanoMQ refuses everybody; with http_auth taken out of the"
            " configuration, any board could call itself another."
        ),
        "Revoked devices": (
            "NanoMQ 0.25 reads no list of the revoked: its TLS never loads one. A revoked device"
            " connects for as long as its certificate is valid. To leave it no topic, put its id"
            f" into {ACL} above the other rules,\n"
            '  {"permit": "deny", "clientid": "ID"}\n'
            "and reload (nanomq reload). Against a stolen CA key there is no such rule: NanoMQ goes"
            " on to trust a CA that was revoked, and its thief signs any id, until every board and"
            " the broker have another root, which is a new project. Where revoking matters to you,"
            " take a broker that does it: mosquitto, RabbitMQ, HiveMQ."
        ),
    }
    return readme(f"NanoMQ for the fleet {material.fleet}", steps, notes)
