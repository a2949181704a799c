"""The files of an EMQX 5 that lets in the fleet's devices. Does no I/O.

Keys as in EMQX's own schema: apps/emqx/src/emqx_schema.erl and apps/emqx_auth, 5.8.
"""

from __future__ import annotations

from firmshake import brokerconfig, watcher
from firmshake.exports.material import (
    README,
    Files,
    Material,
    broker_files,
    key_step,
    readme,
    trial,
)

AT = "/etc/emqx/firmshake"
CONF = "firmshake.conf"
ACL = "acl.conf"

_ACL = f"""\
%% firmshake fleet watch reads what the devices report, and nothing else. No device is called so.
{{allow, {{username, "{watcher.NAME}"}}, subscribe, [{{eq, "{watcher.TOPICS}"}}]}}.
{{deny, {{username, "{watcher.NAME}"}}, all, ["#"]}}.
%% A device may use the topics below devices/<its own id>/ and no other. EMQX puts the common name
%% of the client's certificate in place of the placeholder: this one line does for the whole fleet.
{{allow, all, all, ["devices/${{cert_common_name}}/#"]}}.
{{deny, all}}.
"""


def files(material: Material) -> Files:
    """Return the files, by name."""
    common = broker_files(material)
    del common["crl.pem"]  # EMQX reads none from a file
    return {
        **common,
        CONF: _conf(material),
        ACL: _ACL,
        README: _readme(material),
    }


def _conf(material: Material) -> str:
    return f"""\
# MQTT over TLS, with a client certificate, is the one way in: the others are closed
listeners.tcp.default.enable = false
listeners.ws.default.enable = false
listeners.wss.default.enable = false

listeners.ssl.default {{
  enable = true
  bind = "0.0.0.0:{material.port}"
  ssl_options {{
    # who we are: the broker's certificate with the intermediate CA's behind it, and its key
    certfile = "{material.path("broker.crt")}"
    keyfile = "{material.path("broker.key")}"
    # whom we let in: clients with a certificate that leads to the fleet's root CA
    cacertfile = "{material.path("ca.crt")}"
    verify = verify_peer
    fail_if_no_peer_cert = true
    versions = ["tlsv1.3", "tlsv1.2"]
    # a session that is resumed would not be checked again
    reuse_sessions = false
{_crl(material)}  }}
}}

# the certificate's common name, the device id, is user name and client id whatever the client calls
# itself, so that no device can take over another's session
mqtt.peer_cert_as_username = cn
mqtt.peer_cert_as_clientid = cn

# what waits for a client that is away: EMQX's own 1000 are few for firmshake fleet watch
mqtt.max_mqueue_len = {brokerconfig.QUEUED}

authorization {{
  no_match = deny
  deny_action = ignore
  sources = [
    {{ type = file, enable = true, path = "{material.path(ACL)}" }}
  ]
}}
"""


def _crl(material: Material) -> str:
    if not material.crl_url:
        return """\
    # EMQX reads no list of the revoked from a file: it fetches the one that a certificate names,
    # and this fleet's certificates name none (crl_url in [device] of profiles.toml)
    enable_crl_check = false
"""
    return """\
    # EMQX fetches the list of the revoked from where each certificate says; a device whose list
    # can't be had is refused
    enable_crl_check = true
"""


def _readme(material: Material) -> str:
    at = material.at
    steps = [
        "Copy this folder to each node of EMQX (5.8 or later), and give it to the user that EMQX"
        " runs as:\n"
        f"  sudo cp -r . {at}\n"
        f"  sudo chown -R emqx: {at}\n"
        f"  sudo chmod 700 {at}",
        key_step(material),
        f"Add {CONF} to the end of EMQX's own configuration. What stands there for the same"
        " names is overruled:\n"
        f"  sudo sh -c 'cat {at}/{CONF} >> /etc/emqx/emqx.conf'",
        "Let EMQX check it, and restart it:\n"
        "  sudo emqx check_config\n"
        "  sudo systemctl restart emqx",
        "See in the dashboard that nothing else lets anybody in: no other listener is running, and"
        " under Access Control, Authorization has the source File alone.",
        trial(material),
    ]
    notes = {
        "Who gets in": (
            "Clients with a certificate of this fleet's CA, and nobody else; EMQX asks for no"
            " password. Each has devices/<its id>/# and nothing else; firmshake fleet watch, whose"
            f" certificate says {watcher.NAME}, reads {watcher.TOPICS} and nothing else."
        ),
        "Revoked devices": _revoked(material),
    }
    return readme(f"EMQX for the fleet {material.fleet}", steps, notes)


def _revoked(material: Material) -> str:
    if not material.crl_url:
        return (
            "With this configuration EMQX lets revoked devices in. It can only fetch the list from"
            " an http address that the device's certificate names. To have that: put the address"
            " into profiles.toml of the project (crl_url in [device]), provision the boards again,"
            " publish the project's broker/crl.pem there, and export again. Until then, ban each"
            " revoked device by its id, for ever: in the dashboard under Banned"
            " Clients, or with an API key of EMQX\n"
            "  curl -u KEY -H 'Content-Type: application/json' http://127.0.0.1:18083/api/v5/banned"
            ' -d \'{"as": "clientid", "who": "ID", "until": "infinity"}\'\n'
            "(curl then asks for the key's secret). A CA that was revoked can't be banned so: who"
            " has its key signs any id."
        )
    return (
        "EMQX fetches the list from\n"
        f"  {material.crl_url}\n"
        "at a device's first connection, and every 15 minutes from then on (crl_cache."
        "refresh_interval). After each firmshake ca revoke, and before the list runs out (firmshake"
        " ca crl makes a new one), publish the project's broker/crl.pem there, as it is: the lists"
        " of all CAs one after the other, in PEM, which is all that EMQX reads when it looks again."
        " So the one address does for every CA: after firmshake ca intermediate, leave crl_url as"
        " it is, and publish the new broker/crl.pem before the first board of the new CA connects."
        " The list of a CA that was revoked is not in it: EMQX then refuses all that this CA has"
        " signed. Never publish the list of one CA alone: the devices of the others would be"
        " refused.\n"
        "Where the list was never fetched, or has run out, nobody gets in. Certificates made before"
        " crl_url was in the profile name no list: those boards are refused until they are"
        " provisioned again. A device that is connected stays so until its connection ends."
    )
