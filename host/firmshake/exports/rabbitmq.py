"""The files of a RabbitMQ that lets in the fleet's devices over MQTT. Does no I/O.

RabbitMQ's own database wants a user for each device, a list that grows with the fleet. So it is
told to ask a program on the same computer instead (its HTTP backend), and that program knows one
rule for all: rabbitmq_rights.py.
"""

from __future__ import annotations

from firmshake import watcher
from firmshake.exports import crlfolder, rabbitmq_rights
from firmshake.exports.material import (
    README,
    Files,
    Material,
    broker_files,
    key_step,
    readme,
    trial,
)

AT = "/etc/rabbitmq/firmshake"
CONF = "rabbitmq.conf"
ADVANCED = "advanced.config"
PLUGINS = "enabled_plugins"
RIGHTS = "device_rights.py"
RIGHTS_PORT = 8992
CRLS = "crl"


def files(material: Material) -> Files:
    """Return the files, by name."""
    common = broker_files(material)
    crl = common.pop("crl.pem")
    assert isinstance(crl, bytes)
    return {
        **common,
        **{f"{CRLS}/{name}": content for name, content in crlfolder.named(crl).items()},
        CONF: _conf(material),
        ADVANCED: _advanced(material),
        PLUGINS: "[rabbitmq_auth_backend_http,rabbitmq_mqtt].\n",
        RIGHTS: rabbitmq_rights.PROGRAM,
        README: _readme(material),
    }


def is_ambiguous(device_id: str) -> bool:
    """Return whether RabbitMQ can't keep the topics of that device apart from another's.

    It has one character for "." and "/": devices/a.b/c is devices/a/b/c to it.
    """
    return "." in device_id


def _conf(material: Material) -> str:
    asked = f"http://127.0.0.1:{RIGHTS_PORT}"
    return f"""\
# MQTT over TLS, with a client certificate, is the one way in: AMQP and plain MQTT are closed
listeners.tcp = none
mqtt.listeners.tcp = none
mqtt.listeners.ssl.default = {material.port}

# the certificate's common name, the device id, is the user name
mqtt.allow_anonymous = false
mqtt.ssl_cert_login = true
ssl_cert_login_from = common_name

# what a device may do: {RIGHTS} is asked, and RabbitMQ's own database of users is not
auth_backends.1 = rabbit_auth_backend_http
auth_http.http_method = post
auth_http.user_path = {asked}/user
auth_http.vhost_path = {asked}/vhost
auth_http.resource_path = {asked}/resource
auth_http.topic_path = {asked}/topic

# messages on their way to a client that has not acknowledged them: firmshake fleet watch does so
# once it has written them down, and would be slow with RabbitMQ's own 10
mqtt.prefetch = 1000
"""


def _advanced(material: Material) -> str:
    return f"""\
%% All of TLS is here, and none of it in rabbitmq.conf, which knows no CRL folder.
[
 {{rabbit, [
   {{ssl_options, [
     %% who we are: the broker's certificate with the intermediate CA's behind it, and its key
     {{certfile, "{material.path("broker.crt")}"}},
     {{keyfile, "{material.path("broker.key")}"}},
     %% whom we let in: clients with a certificate that leads to the fleet's root CA
     {{cacertfile, "{material.path("ca.crt")}"}},
     {{verify, verify_peer}},
     {{fail_if_no_peer_cert, true}},
     {{depth, 2}},
     %% a session that is resumed would not be checked again
     {{reuse_sessions, false}},
     %% whom we turn away all the same: devices on the list of the revoked, and those of a CA that
     %% is on the root's
     {{crl_check, true}},
     {{crl_cache, {{ssl_crl_hash_dir, {{internal, [{{dir, "{material.path(CRLS)}"}}]}}}}}}
   ]}}
 ]}}
].
"""


def _readme(material: Material) -> str:
    at = material.at
    steps = [
        "Copy this folder to each node of RabbitMQ (3.8 or later, its MQTT and HTTP backend"
        f" plugins come with it), as {at}, and give it to the user that RabbitMQ runs as:\n"
        f"  sudo cp -r . {at}\n"
        f"  sudo chown -R rabbitmq: {at}\n"
        f"  sudo chmod 700 {at}",
        key_step(material),
        f"Have {RIGHTS} started at boot. It needs Python 3.7 or later and nothing else. As"
        " /etc/systemd/system/firmshake-rights.service:\n"
        "  [Unit]\n"
        "  Before=rabbitmq-server.service\n"
        "  [Service]\n"
        f"  ExecStart=/usr/bin/python3 {at}/{RIGHTS}\n"
        "  User=rabbitmq\n"
        "  Restart=always\n"
        "  [Install]\n"
        "  WantedBy=multi-user.target\n"
        "and then:\n"
        "  sudo systemctl enable --now firmshake-rights",
        "Put the three files of configuration where RabbitMQ looks for them. If it has some"
        " already, bring them together by hand.\n"
        f"  cd {at}\n"
        f"  sudo mv {CONF} {ADVANCED} {PLUGINS} /etc/rabbitmq/",
        "Restart it, and see that MQTT over TLS is its only listener for clients:\n"
        "  sudo systemctl restart rabbitmq-server\n"
        "  sudo rabbitmq-diagnostics listeners",
        trial(material),
    ]
    notes = {
        "Who gets in": (
            "Clients with a certificate of this fleet's CA, and nobody else. The certificate's"
            " common name, the device id, is the user name, and has to be the client id too."
            f" {RIGHTS} lets each device into devices/<its id>/... and nowhere else, and refuses"
            " every password. firmshake fleet watch, whose certificate says"
            f" {watcher.NAME}, reads {watcher.TOPICS} and nothing else."
            " Where it does not run, nobody gets in. Device ids with a dot in them"
            ' can\'t be kept apart here: RabbitMQ makes no difference between "." and "/" in a'
            " topic."
        ),
        "Your own programs": (
            "A program that reads what the devices say needs a listener and a user of its own: add"
            " RabbitMQ's database as a second backend (auth_backends.2 = internal), and mind that"
            " a listener for AMQP with these ssl_options takes device certificates too."
        ),
        "Revoked devices": (
            "The folder crl holds the list of each CA, under the name by which Erlang looks for"
            " it. After each firmshake ca revoke, and before a list runs out (firmshake ca crl"
            " makes a new one), export again and put the new folder crl in the place of the old"
            " one, as a whole: what is in the old one alone, such as the list of a CA that was"
            " revoked, has to go.\n"
            f"  sudo rm -rf {at}/crl.new {at}/crl.old\n"
            f"  sudo cp -r crl {at}/crl.new\n"
            f"  sudo chown -R rabbitmq: {at}/crl.new\n"
            f"  sudo mv {at}/crl {at}/crl.old && sudo mv {at}/crl.new {at}/crl\n"
            "It counts for the next connection, without a restart. Once a list has run out or is"
            " missing, the devices of that CA do not get in; without the root's, nobody does. The"
            " root's names the CAs that were revoked: all that such a CA has signed is refused. A"
            " device that is connected stays so"
            " until its connection ends; to end it at once:\n"
            "  sudo rabbitmqctl list_mqtt_connections client_id connection\n"
            "  sudo rabbitmqctl close_connection 'CONNECTION' revoked"
        ),
    }
    return readme(f"RabbitMQ for the fleet {material.fleet}", steps, notes)
