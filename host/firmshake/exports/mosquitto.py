"""The files of a mosquitto that lets in the fleet's devices. Does no I/O."""

from __future__ import annotations

from firmshake import brokerconfig, watcher
from firmshake.ca.certificate import pem
from firmshake.exports.material import README, Files, Material, carry_key, readme, trial

BROKER = "broker.pem"


def files(material: Material) -> Files:
    """Return the files, by name."""
    conf = brokerconfig.mosquitto_conf(
        material.host, material.port, material.user, folder=material.at
    )
    made: Files = {
        "ca.crt": pem(material.root),
        "crl.pem": material.crl,
        "mosquitto.conf": conf,
        "acl": brokerconfig.ACL,
        README: _readme(material),
    }
    if material.broker_key is not None:
        made[BROKER] = material.broker_chain + material.broker_key
    return made


def _key_step(material: Material) -> str:
    if material.broker_key is not None:
        return carry_key(BROKER)
    return (
        "Copy broker/broker.pem of the project beside the other files: the broker's certificate"
        " with its private key, which is not in this folder. (firmshake ca export mosquitto"
        " --with-key puts it here.)"
    )


def _readme(material: Material) -> str:
    place = material.at or "FOLDER"
    if material.at:
        copy = (
            "Copy this folder to the broker, as"
            f" {material.at}, and give it to the user that mosquitto runs as:\n"
            f"  sudo cp -r . {material.at}\n"
            f"  sudo chown -R {material.user}: {material.at}\n"
            f"  sudo chmod 700 {material.at}"
        )
        start = (
            "Try it: mosquitto says at once what it does not like.\n"
            f"  sudo mosquitto -c {material.at}/mosquitto.conf\n"
            "Then have your system start it so. With systemd:\n"
            "  sudo systemctl edit mosquitto\n"
            "and in the editor, the empty line included, for it takes the old command away:\n"
            "  [Service]\n"
            "  ExecStart=\n"
            f"  ExecStart=/usr/sbin/mosquitto -c {material.at}/mosquitto.conf\n"
            "At last:\n"
            "  sudo systemctl restart mosquitto"
        )
    else:
        copy = (
            "Copy this folder to the broker. The names in mosquitto.conf are relative: mosquitto"
            " has to be started in the folder. (For one that your system starts, export again"
            " with --at /etc/mosquitto/firmshake.)"
        )
        start = "Start mosquitto 2.0 or later in it:\n  cd FOLDER && mosquitto -c mosquitto.conf"
    steps = [copy, _key_step(material), start, trial(material)]
    notes = {
        "Who gets in": (
            "Clients with a certificate of this fleet's CA, and nobody else. The certificate's"
            " common name, the device id, is user name and client id whatever the client calls"
            " itself; one line of the file acl lets each device into devices/<its id>/# and"
            " nowhere else. firmshake fleet watch, whose certificate says"
            f" {watcher.NAME}, reads {watcher.TOPICS} and nothing else."
        ),
        "Revoked devices": (
            "After each firmshake ca revoke, and before crl.pem runs out (firmshake ca crl makes a"
            " new one), carry the project's broker/crl.pem here, put it in place in one step, and"
            " let mosquitto read it:\n"
            f"  cp crl.pem {place}/crl.pem.new && mv {place}/crl.pem.new {place}/crl.pem\n"
            "  kill -HUP $(pidof mosquitto)\n"
            "Never take crl.pem away: on SIGHUP without it, mosquitto 2.0 lets the revoked in, and"
            " without it, it does not start. Once it has run out, nobody gets in. The list of a CA"
            " that was revoked is not in the new file: mosquitto then refuses all that this CA has"
            " signed. A device that is connected stays so until its connection ends; restart"
            " mosquitto to end it at once."
        ),
    }
    return readme(f"mosquitto for the fleet {material.fleet}", steps, notes)
