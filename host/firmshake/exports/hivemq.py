"""The files of a HiveMQ that lets in the fleet's devices. Does no I/O.

Elements as in config.xsd of HiveMQ Community Edition, and in its extension SDK.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)

from firmshake import brokerconfig, watcher
from firmshake.ca.identity import PrivateKey
from firmshake.exports import hivemq_extension as extension
from firmshake.exports.material import README, Files, Material, readme, trial

AT = "/opt/hivemq"
FOLDER = f"extensions/{extension.ID}"
CONFIG = "conf/config.xml"
KEYSTORE = "conf/keystore.p12"
TRUSTSTORE = "conf/truststore.p12"
VARIABLE = "HIVEMQ_KEYSTORE_PASSWORD"
# Java's own, for stores that hold nothing secret: the root certificate is public
TRUSTSTORE_PASSWORD = b"changeit"


def files(material: Material, passphrase: bytes | None = None) -> Files:
    """Return the files, by name.

    Where `material` has the broker's key, it goes into a PKCS#12 keystore under `passphrase`.
    """
    common: Files = {
        CONFIG: _config(material),
        TRUSTSTORE: _truststore(material.root),
        "conf/broker.crt": material.broker_chain,
        f"{FOLDER}/hivemq-extension.xml": extension.DESCRIPTION,
        f"{FOLDER}/crl.pem": material.crl,
        f"{FOLDER}/{extension.SOURCE}": extension.JAVA,
        f"{FOLDER}/{extension.SERVICE}": extension.MAIN,
        README: _readme(material),
    }
    if material.broker_key is not None:
        assert passphrase is not None
        common[KEYSTORE] = _keystore(material.broker_key, material.broker_chain, passphrase)
    return common


def _config(material: Material) -> str:
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<hivemq>
    <!-- MQTT over TLS, with a client certificate, is the one way in: nothing else is open -->
    <listeners>
        <tls-tcp-listener>
            <port>{material.port}</port>
            <bind-address>0.0.0.0</bind-address>
            <tls>
                <!-- who we are: the broker's certificate with its chain, and its key -->
                <keystore>
                    <path>{escape(material.path(KEYSTORE))}</path>
                    <password>${{ENV:{VARIABLE}}}</password>
                    <private-key-password>${{ENV:{VARIABLE}}}</private-key-password>
                </keystore>
                <!-- whom we let in: who has a certificate that leads to the fleet's root CA -->
                <truststore>
                    <path>{escape(material.path(TRUSTSTORE))}</path>
                    <password>{TRUSTSTORE_PASSWORD.decode()}</password>
                </truststore>
                <client-authentication-mode>REQUIRED</client-authentication-mode>
            </tls>
        </tls-tcp-listener>
    </listeners>
    <!-- what waits for a client that is away: HiveMQ's own 1000 are few for fleet watch -->
    <mqtt>
        <queued-messages>
            <max-queue-size>{brokerconfig.QUEUED}</max-queue-size>
            <strategy>discard-oldest</strategy>
        </queued-messages>
    </mqtt>
    <anonymous-usage-statistics>
        <enabled>false</enabled>
    </anonymous-usage-statistics>
</hivemq>
"""


def _truststore(root: x509.Certificate) -> bytes:
    """A PKCS#12 file with the mark that Java wants at a certificate that it is to trust."""
    entry = pkcs12.PKCS12Certificate(root, b"fleet-root")
    return pkcs12.serialize_java_truststore([entry], BestAvailableEncryption(TRUSTSTORE_PASSWORD))


def _keystore(key: bytes, chain: bytes, passphrase: bytes) -> bytes:
    own = load_pem_private_key(key, None)
    assert isinstance(own, PrivateKey)
    leaf, *above = x509.load_pem_x509_certificates(chain)
    return pkcs12.serialize_key_and_certificates(
        b"broker", own, leaf, above, BestAvailableEncryption(passphrase)
    )


def _readme(material: Material) -> str:
    at = material.at
    steps = [
        "This folder is laid out as HiveMQ's own. Copy it there (HiveMQ Community Edition 2020.1"
        " or HiveMQ 4.3, or later), and give it to the user that HiveMQ runs as:\n"
        f"  sudo cp -r conf extensions {at}/\n"
        f"  sudo chown -R hivemq: {at}/conf {at}/{FOLDER}\n"
        f"  sudo chmod 600 {at}/conf/*.p12",
        _key_step(material),
        "Build the extension, once. It needs a JDK 11 or later, and no other library than HiveMQ"
        " itself:\n"
        f"  cd {at}/{FOLDER}\n"
        f"  javac --release 11 -cp {at}/bin/hivemq.jar -d classes {extension.SOURCE}\n"
        "  cp -r src/META-INF classes/\n"
        f"  jar --create --file {extension.ID}.jar -C classes .",
        "Take away the extension that lets everybody in, which HiveMQ comes with:\n"
        f"  rm -rf {at}/extensions/hivemq-allow-all-extension",
        f"Start HiveMQ with the keystore's passphrase in its environment, as {VARIABLE}. With"
        " systemd, in a file that root alone can read:\n"
        "  sudo install -m 600 /dev/null /etc/hivemq.env\n"
        "  sudoedit /etc/hivemq.env\n"
        "and type in the editor, so that it is in no list of processes and no history:\n"
        f"  {VARIABLE}=PASSPHRASE\n"
        "Then\n"
        "  sudo systemctl edit hivemq\n"
        "and in the editor:\n"
        "  [Service]\n"
        "  EnvironmentFile=/etc/hivemq.env",
        "Look into log/hivemq.log: it names the listener, and the extension as started. Without"
        " any extension HiveMQ refuses everybody.",
        trial(material),
    ]
    notes = {
        "Who gets in": (
            "Clients with a certificate of this fleet's CA whose client id is the certificate's"
            " common name, the device id. Each has devices/<its id>/# and nothing else; firmshake"
            f" fleet watch, whose certificate says {watcher.NAME}, reads {watcher.TOPICS} and"
            " nothing else. HiveMQ's"
            " File RBAC extension is not used: it wants a user name and a password for each device,"
            " which the devices do not have, and a list that grows with them."
        ),
        "Revoked devices": (
            "The extension looks each certificate up in crl.pem beside it. After each firmshake ca"
            " revoke, and before the list runs out (firmshake ca crl makes a new one), carry the"
            " project's broker/crl.pem there and put it in place in one step:\n"
            f"  cp crl.pem {at}/{FOLDER}/crl.pem.new\n"
            f"  mv {at}/{FOLDER}/crl.pem.new {at}/{FOLDER}/crl.pem\n"
            "It counts for the next connection, without a restart. Where the list is missing or"
            " has run out, nobody gets in. The list of a CA that was revoked is not in the new"
            " file: all that this CA has signed is refused. A device that is connected stays so"
            " until its connection ends."
        ),
        "The passphrases": (
            "truststore.p12 holds the root certificate, which is public; its passphrase is Java's"
            " usual 'changeit', and protects nothing."
        ),
    }
    return readme(f"HiveMQ for the fleet {material.fleet}", steps, notes)


def _key_step(material: Material) -> str:
    if material.broker_key is not None:
        return (
            "conf/keystore.p12 holds the broker's private key, encrypted with the passphrase that"
            " you chose. Delete the copy here afterwards."
        )
    return (
        "Make the keystore, in the project, from the broker's certificate and private key, which is"
        " not in this folder. It asks for a new passphrase. (firmshake ca export hivemq --with-key"
        " makes it here.)\n"
        "  openssl pkcs12 -export -name broker -in broker/broker.pem -out keystore.p12\n"
        f"and bring it to the broker, as {material.at}/{KEYSTORE}."
    )
