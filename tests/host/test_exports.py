"""The files of each export, held against what the brokers and clouds publish about theirs."""

from __future__ import annotations

import ast
import base64
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
from hypothesis import given
from hypothesis import strategies as st

from firmshake import watcher
from firmshake.ca import authority, certificate
from firmshake.exports import (
    TARGETS,
    aws_iot,
    azure_dps,
    emqx,
    hivemq,
    hivemq_extension,
    mosquitto,
    nanomq,
    rabbitmq,
    rabbitmq_rights,
    step_ca,
)
from firmshake.exports.material import README, Files, Material, is_private

NOW = datetime.now(UTC)
ROOT, ISSUING = authority.create("greenhouse", now=NOW)
BROKER = ISSUING.issue_broker(["broker.example"], now=NOW)
ACCOUNT = aws_iot.Account("123456789012", "eu-central-1")
KEYSTORE = b"a keystore's passphrase"


def crl(issuer: authority.Authority | authority.Root) -> bytes:
    from cryptography.hazmat.primitives import hashes

    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(NOW).next_update(ROOT.certificate.not_valid_after_utc)
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM)


CRL = crl(ISSUING) + crl(ROOT)


def material(*, key: bool = False, crl_url: str = "", at: str = "/etc/x") -> Material:
    return Material(
        fleet="greenhouse",
        host="broker.example",
        port=8883,
        root=ROOT.certificate,
        issuing=ISSUING.certificate,
        broker_chain=BROKER.chain_pem(),
        broker_key=BROKER.key_pem() if key else None,
        crl=CRL,
        crl_url=crl_url,
        issuing_key="intermediate.key",
        at=at,
        user="mosquitto",
    )


EXPORTS: dict[str, Callable[[Material], Files]] = {
    "mosquitto": mosquitto.files,
    "emqx": emqx.files,
    "hivemq": lambda m: hivemq.files(m, KEYSTORE),
    "nanomq": nanomq.files,
    "rabbitmq": rabbitmq.files,
    "aws-iot": lambda m: aws_iot.files(m, ACCOUNT),
    "azure-dps": azure_dps.files,
    "step-ca": lambda m: step_ca.files(m, ["ca.example"]),
}
BROKERS = ("mosquitto", "emqx", "hivemq", "nanomq", "rabbitmq")


def text(files: Files, name: str) -> str:
    content = files[name]
    assert isinstance(content, str)
    return content


def octets(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content


# all of them


def test_every_target_is_made_here() -> None:
    assert list(EXPORTS) == list(TARGETS)


def test_the_document_says_of_each_how_it_was_checked() -> None:
    document = Path(__file__).parents[2] / "docs" / "exports.md"
    rows = re.findall(r"^\| `([a-z][a-z-]+)` \|.*\| (.+) \|$", document.read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == ["mosquitto", "rabbitmq"] + [
        name for name in TARGETS if name not in ("mosquitto", "rabbitmq")
    ]
    for name, checked in rows:
        assert ("the real one" in checked) == (name in ("mosquitto", "rabbitmq"))


@pytest.mark.parametrize("target", EXPORTS)
def test_a_readme_says_what_to_do_in_order_with_commands(target: str) -> None:
    readme = text(EXPORTS[target](material()), README)
    steps = [int(number) for number in re.findall(r"^(\d)\. ", readme, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= 3
    assert re.search(r"^ {2,}[a-z]+ ", readme, re.MULTILINE)
    assert "\nRevoked devices\n" in readme
    lines = [line for line in readme.splitlines() if not line.startswith("  ")]
    assert max(map(len, lines)) <= 92


@pytest.mark.parametrize("target", BROKERS)
def test_a_brokers_readme_says_how_to_try_whom_it_lets_do_what(target: str) -> None:
    readme = text(EXPORTS[target](material()), README)
    tried = re.findall(r"mosquitto_rr (.*)", readme)
    assert [re.findall(r"-[te] devices/(\w+)/hello", one) for one in tried] == [
        ["trial", "trial"],
        ["other", "other"],
    ]
    for one in tried:
        assert "-h broker.example -p 8883 " in one
        assert " -i trial " in one


@pytest.mark.parametrize("target", EXPORTS)
def test_what_the_readme_names_is_there_and_what_is_there_has_a_use(target: str) -> None:
    files = EXPORTS[target](material(key=True))
    whole = "\n".join(content for content in files.values() if isinstance(content, str))
    for name in files:
        if name not in (README, "device-policy.json"):  # the policy for people to read
            parts = name.split("/")
            assert parts[-1] in whole or parts[0] in whole, name


@pytest.mark.parametrize("target", EXPORTS)
def test_no_private_key_is_in_it_unless_it_was_asked_for(target: str) -> None:
    def holding(key: bool) -> list[str]:
        secret = BROKER.key_pem().splitlines()[1]
        made = EXPORTS[target](material(key=key))
        return [name for name, content in made.items() if secret in octets(content)]

    assert holding(False) == []
    found = holding(True)
    assert all(map(is_private, found))
    expected = {"mosquitto": ["broker.pem"], "hivemq": []}.get(target, ["broker.key"])
    assert found == (expected if target in BROKERS else [])


# as each of them writes "devices/+/diag"
REPORTS = r"devices(/\+/|\.\*\.)diag"


@pytest.mark.parametrize("target", BROKERS)
def test_one_rule_does_for_the_whole_fleet(target: str) -> None:
    """What is not the watcher's has one devices/, with a placeholder of that broker's behind it."""
    whole = "\n".join(
        content
        for name, content in EXPORTS[target](material()).items()
        if isinstance(content, str) and name != README
    )
    placeholder = {
        "mosquitto": "%u/#",
        "emqx": "${cert_common_name}/#",
        "nanomq": "${clientid}/#",
        "hivemq": '" + id + "/#',
        "rabbitmq": '." + client + "."',
    }[target]
    rules = [
        line
        for line in whole.splitlines()
        if re.search(r"devices[/.]", line) and "<its" not in line
    ]
    own = [line for line in rules if placeholder.removeprefix(".") in line]
    assert len(own) == 1
    # what is left is the watcher's, who reads one kind of topic, or comments
    watchers = [line for line in rules if watcher.NAME in line or re.search(REPORTS, line)]
    assert watchers
    assert all(
        re.match(r"\s*(#|%|//|\*|/\*)", line) or "ITS ID" in line
        for line in rules
        if line not in own + watchers
    )


@pytest.mark.parametrize("target", BROKERS)
def test_tls_on_the_port_of_the_fleet_is_the_one_way_in(target: str) -> None:
    files = EXPORTS[target](material())
    configuration = {
        "mosquitto": "mosquitto.conf",
        "emqx": emqx.CONF,
        "hivemq": hivemq.CONFIG,
        "nanomq": nanomq.CONF,
        "rabbitmq": rabbitmq.CONF,
    }[target]
    conf = text(files, configuration)
    assert "8883" in conf
    assert "1883" not in conf
    demanded = {
        "mosquitto": "require_certificate true",
        "emqx": "fail_if_no_peer_cert = true",
        "hivemq": "<client-authentication-mode>REQUIRED</client-authentication-mode>",
        "nanomq": "fail_if_no_peer_cert = true",
        "rabbitmq": "{fail_if_no_peer_cert, true}",
    }[target]
    assert demanded in conf + str(files.get(rabbitmq.ADVANCED, ""))


# EMQX: apps/emqx/src/emqx_schema.erl and apps/emqx_auth of 5.8.9

EMQX_KEYS = {
    "listeners.tcp.default.enable",
    "listeners.ws.default.enable",
    "listeners.wss.default.enable",
    *(f"listeners.ssl.default.{key}" for key in ("enable", "bind")),
    *(
        f"listeners.ssl.default.ssl_options.{key}"
        for key in (
            *("certfile", "keyfile", "cacertfile", "verify", "fail_if_no_peer_cert"),
            *("versions", "reuse_sessions", "enable_crl_check"),
        )
    ),
    *(f"mqtt.peer_cert_as_{name}" for name in ("username", "clientid")),
    "mqtt.max_mqueue_len",
    *(f"authorization.{key}" for key in ("no_match", "deny_action", "sources")),
}


def hocon(conf: str) -> dict[str, str]:
    """The values of a HOCON file of our making, by their whole names; lists stay text."""
    found: dict[str, str] = {}
    inside: list[str] = []
    lines = [line.split("#")[0].rstrip() for line in conf.splitlines()]
    for line in filter(
        None, re.sub(r"\[\n.*?\n *\]", "[]", "\n".join(lines), flags=re.DOTALL).split("\n")
    ):
        word = line.strip()
        if word == "}":
            inside.pop()
        elif opening := re.fullmatch(r"([\w.-]+) ?=? ?\{", word):
            inside.append(opening[1])
        else:
            key, value = re.fullmatch(r"([\w.-]+) = (.+)", word).groups()  # type: ignore[union-attr]
            found[".".join([*inside, key])] = value
    assert inside == []
    return found


@pytest.mark.parametrize("url", ["", "http://crl.example/issuing.crl"])
def test_emqx_is_told_with_keys_that_it_has(url: str) -> None:
    values = hocon(text(emqx.files(material(crl_url=url)), emqx.CONF))
    assert set(values) == EMQX_KEYS
    assert values["mqtt.peer_cert_as_username"] == values["mqtt.peer_cert_as_clientid"] == "cn"
    assert values["authorization.no_match"] == "deny"
    checked = values["listeners.ssl.default.ssl_options.enable_crl_check"]
    assert checked == ("true" if url else "false")


def test_emqx_says_where_the_list_comes_from_or_that_there_is_none() -> None:
    url = "http://crl.example/issuing.crl"
    assert url in text(emqx.files(material(crl_url=url)), README)
    assert "lets revoked devices in" in text(emqx.files(material()), README)


def test_emqx_is_given_the_lists_of_all_cas_at_the_one_address() -> None:
    """Two CAs have devices after a renewal, and the address in the certificates is the same."""
    for url in ("", "http://crl.example/issuing.crl"):
        readme = text(emqx.files(material(crl_url=url)), README)
        assert "broker/crl.pem" in readme
        assert "ca/*.crl" not in readme
    assert "firmshake ca intermediate" in readme


def test_nanomq_says_that_it_goes_on_to_trust_a_revoked_ca() -> None:
    readme = " ".join(text(nanomq.files(material()), README).split())
    assert "trust a CA that was revoked" in readme


def test_emqx_denies_what_its_one_rule_does_not_allow() -> None:
    rules = [
        line for line in text(emqx.files(material()), emqx.ACL).splitlines() if line[:1] == "{"
    ]
    assert rules == [
        '{allow, {username, "_fleet-watch"}, subscribe, [{eq, "devices/+/diag"}]}.',
        '{deny, {username, "_fleet-watch"}, all, ["#"]}.',
        '{allow, all, all, ["devices/${cert_common_name}/#"]}.',
        "{deny, all}.",
    ]


# NanoMQ: conf_ver2.c and acl_conf.c of NanoNNG 0.25

NANOMQ_KEYS = {
    *(
        f"listeners.ssl.{key}"
        for key in (
            *("bind", "certfile", "keyfile", "cacertfile"),
            *("verify_peer", "fail_if_no_peer_cert"),
        )
    ),
    *(f"auth.{key}" for key in ("allow_anonymous", "no_match", "deny_action", "acl")),
    *(f"auth.http_auth.{key}" for key in ("timeout", "connect_timeout", "pool_size")),
    *(
        f"auth.http_auth.auth_req.{key}"
        for key in ("url", "method", "headers.content-type", "params")
    ),
}


def test_nanomq_is_told_with_keys_that_it_has() -> None:
    values = hocon(text(nanomq.files(material()), nanomq.CONF))
    assert set(values) == NANOMQ_KEYS
    assert values["auth.no_match"] == "deny"
    # %c is the client id, %C the common name of the certificate
    assert values["auth.http_auth.auth_req.params"] == '{clientid = "%c", common = "%C"}'


def test_nanomq_allows_a_devices_own_topics_and_denies_the_rest() -> None:
    rules = re.findall(r"^\t(\{.*\})$", text(nanomq.files(material()), nanomq.ACL), re.MULTILINE)
    assert [json.loads(rule) for rule in rules] == [
        {
            "permit": "allow",
            "clientid": "_fleet-watch",
            "action": "subscribe",
            "topics": ["devices/+/diag"],
        },
        {"permit": "deny", "clientid": "_fleet-watch"},
        {
            "permit": "allow",
            "username": "#",
            "action": "pubsub",
            "topics": ["devices/${clientid}/#"],
        },
        {"permit": "deny"},
    ]


# HiveMQ: config.xsd of HiveMQ Community Edition


def test_hivemqs_configuration_has_the_elements_of_its_schema() -> None:
    document = ET.fromstring(text(hivemq.files(material()), hivemq.CONFIG).encode())
    assert [document.tag, *(child.tag for child in document)] == [
        *("hivemq", "listeners", "mqtt", "anonymous-usage-statistics")
    ]
    queue = document.find("mqtt/queued-messages")
    assert queue is not None
    assert [(one.tag, one.text) for one in queue] == [
        *(("max-queue-size", "100000"), ("strategy", "discard-oldest"))
    ]
    (listener,) = document.find("listeners") or []
    assert listener.tag == "tls-tcp-listener"
    assert {child.tag for child in listener} == {"port", "bind-address", "tls"}
    tls = listener.find("tls")
    assert tls is not None
    assert {child.tag: {inner.tag for inner in child} for child in tls} == {
        "keystore": {"path", "password", "private-key-password"},
        "truststore": {"path", "password"},
        "client-authentication-mode": set(),
    }


def test_hivemqs_passphrase_is_in_no_file() -> None:
    made = hivemq.files(material(key=True), KEYSTORE)
    assert not [name for name, content in made.items() if KEYSTORE in octets(content)]
    found = pkcs12.load_pkcs12(octets(made[hivemq.KEYSTORE]), KEYSTORE)
    assert found.cert is not None
    assert found.cert.certificate == BROKER.certificate
    assert [one.certificate for one in found.additional_certs] == list(BROKER.chain)
    assert is_private(hivemq.KEYSTORE)


def test_java_trusts_the_root_alone() -> None:
    store = octets(hivemq.files(material(), None)[hivemq.TRUSTSTORE])
    found = pkcs12.load_pkcs12(store, hivemq.TRUSTSTORE_PASSWORD)
    assert (found.key, found.cert) == (None, None)
    assert [one.certificate for one in found.additional_certs] == [ROOT.certificate]


def test_hivemqs_extension_is_named_the_same_everywhere() -> None:
    description = ET.fromstring(hivemq_extension.DESCRIPTION.encode())
    assert description.findtext("id") == hivemq_extension.ID
    package, name = hivemq_extension.MAIN.strip().split(".")
    assert hivemq_extension.SOURCE.endswith(f"{package}/{name}.java")
    assert f"package {package};" in hivemq_extension.JAVA
    assert f"public class {name} implements ExtensionMain" in hivemq_extension.JAVA


# RabbitMQ: the real one is in tests/peers; here, what the program that it asks decides


def rights() -> Callable[[str, dict[str, str]], bool]:
    inside: dict[str, object] = {"__name__": "device_rights"}
    exec(compile(rabbitmq_rights.PROGRAM, "device_rights.py", "exec"), inside)
    decide = inside["may"]
    assert callable(decide)
    return lambda path, form: bool(decide(path, form))


MAY = rights()


def topic(key: str, user: str = "pump", **more: str) -> bool:
    form = {"username": user, "vhost": "/", "resource": "topic", "name": "amq.topic"}
    return MAY("/topic", {**form, "routing_key": key, "permission": "write", **more})


@pytest.mark.parametrize("program", [rabbitmq_rights.PROGRAM, nanomq._CHECK])
def test_the_programs_of_exports_are_pythons_of_old_too(program: str) -> None:
    ast.parse(program, feature_version=(3, 7))


def test_a_device_has_what_is_below_its_own_id() -> None:
    assert topic("devices.pump.echo")
    assert topic("devices.pump.#")
    for other in ("devices.pump", "devices.pump2.a", "devices.*.a", "#", "devices.#", "echo", ""):
        assert not topic(other), other


def test_the_watcher_reads_reports_and_nothing_else() -> None:
    def may(kind: str, name: str, permission: str, key: str = "") -> bool:
        form = {"username": watcher.NAME, "vhost": "/", "resource": kind, "name": name}
        path = "/topic" if key else "/resource"
        return MAY(path, {**form, "permission": permission, "routing_key": key})

    assert MAY("/user", {"username": watcher.NAME})
    assert not MAY("/user", {"username": watcher.NAME, "password": "x"})
    assert may("topic", "amq.topic", "read", "devices.*.diag")
    assert not may("topic", "amq.topic", "write", "devices.*.diag")
    assert may("exchange", "amq.topic", "read")
    assert not may("exchange", "amq.topic", "write")
    assert may("queue", f"mqtt-subscription-{watcher.NAME}qos1", "write")
    assert not may("queue", "mqtt-subscription-pumpqos1", "write")
    for key in ("devices.#", "#", "devices.pump.diag", f"devices.{watcher.NAME}.diag"):
        assert not may("topic", "amq.topic", "read", key), key


@given(st.text(max_size=40), st.text(max_size=20).filter(lambda user: user != watcher.NAME))
def test_no_topic_outside_is_allowed_to_anybody(key: str, user: str) -> None:
    if topic(key, user):
        assert key.startswith(f"devices.{user}.")
        assert "." not in user


def test_who_is_called_otherwise_or_has_a_password_is_no_device() -> None:
    assert MAY("/user", {"username": "pump"})
    assert MAY("/vhost", {"username": "pump", "vhost": "/", "client_id": "pump"})
    assert not MAY("/user", {"username": "pump", "password": "x"})
    assert not MAY("/vhost", {"username": "pump", "vhost": "/", "client_id": "other"})
    assert not MAY("/vhost", {"username": "pump", "vhost": "other"})
    assert not topic("devices.pump.a", **{"variable_map.client_id": "other"})
    for user in ("", "a.b", "*", "-", "pump\n", "x" * 65):
        assert not MAY("/user", {"username": user}), user


def test_a_device_uses_its_own_queues_and_the_topic_exchange() -> None:
    def may(kind: str, name: str, permission: str = "write") -> bool:
        form = {"username": "pump", "vhost": "/", "resource": kind, "name": name}
        return MAY("/resource", {**form, "permission": permission})

    assert may("queue", "mqtt-subscription-pumpqos1", "configure")
    assert may("queue", "mqtt-subscription-pumpqos0", "read")
    assert may("exchange", "amq.topic")
    assert not may("queue", "mqtt-subscription-otherqos1")
    assert not may("queue", "mqtt-subscription-pump2qos1")
    assert not may("exchange", "amq.topic", "configure")
    assert not may("exchange", "amq.direct")
    assert not may("exchange", "")
    assert not MAY("/elsewhere", {"username": "pump", "vhost": "/"})


# step-ca: authority/config/config.go and authority/provisioner of smallstep/certificates 0.28

STEP_CA_KEYS = {
    *("root", "federatedRoots", "crt", "key", "address", "insecureAddress", "dnsNames", "kms"),
    *("ssh", "logger", "db", "monitoring", "authority", "tls", "password", "templates"),
    *("commonName", "crl", "metricsAddress"),
}
STEP_AUTHORITY_KEYS = {
    *("type", "provisioners", "template", "claims", "policy", "backdate", "enableAdmin"),
    *("disableIssuedAtCheck", "authorityId", "deploymentType", "disableGetSSHHosts"),
}
STEP_CLAIMS = {
    *("minTLSCertDuration", "maxTLSCertDuration", "defaultTLSCertDuration"),
    *("disableRenewal", "allowRenewalAfterExpiry", "disableSmallstepExtensions"),
}
STEP_ACME_KEYS = {
    *("type", "name", "forceCN", "termsOfService", "website", "caaIdentities", "requireEAB"),
    *("challenges", "attestationFormats", "attestationRoots", "claims", "options"),
}


def test_step_ca_is_told_with_keys_that_it_has() -> None:
    files = step_ca.files(material(at="/etc/step-ca"), ["ca.example", "192.0.2.1"])
    document = json.loads(text(files, step_ca.CONFIG))
    assert set(document) <= STEP_CA_KEYS
    # what config.go's Validate asks for
    assert all(document[name] for name in ("root", "crt", "key", "address", "dnsNames"))
    assert "password" not in document
    assert set(document["authority"]) <= STEP_AUTHORITY_KEYS
    for one in document["authority"]["provisioners"]:
        assert one["type"] == "ACME"
        assert set(one) <= STEP_ACME_KEYS
        assert set(one["claims"]) <= STEP_CLAIMS
        template = one["options"]["x509"]["templateFile"]
        assert template.removeprefix("/etc/step-ca/") in files


def test_step_cas_templates_are_for_one_purpose_each() -> None:
    files = step_ca.files(material(), ["ca.example"])
    device, broker = text(files, step_ca.DEVICE), text(files, step_ca.BROKER)
    assert '"extKeyUsage": ["clientAuth"]' in device
    assert "urn:firmshake:device:%s" in device
    assert '"extKeyUsage": ["serverAuth"]' in broker
    assert ".SANs" not in device


# Azure: REST API of the provisioning service, 2021-10-01


def test_azures_group_is_one_of_its_schema() -> None:
    from_ca = azure_dps.group(material(), verified=False)
    assert set(from_ca) <= {
        *("enrollmentGroupId", "attestation", "capabilities", "iotHubHostName", "initialTwin"),
        *("etag", "provisioningStatus", "reprovisionPolicy", "allocationPolicy", "iotHubs"),
        "customAllocationDefinition",
    }
    named = f"firmshake-greenhouse-{certificate.fingerprint(ISSUING.certificate)[:8]}"
    assert from_ca["enrollmentGroupId"] == named
    assert from_ca["provisioningStatus"] in ("enabled", "disabled")
    assert from_ca["allocationPolicy"] in ("hashed", "geoLatency", "static", "custom")
    assert from_ca["reprovisionPolicy"] == {"updateHubAssignment": True, "migrateDeviceData": True}
    der = ISSUING.certificate.public_bytes(Encoding.DER)
    assert from_ca["attestation"] == {
        "type": "x509",
        "x509": {
            "signingCertificates": {
                "primary": {"certificate": base64.b64encode(der).decode("ascii")}
            }
        },
    }
    by_name = azure_dps.group(material(), verified=True)
    assert by_name["attestation"] == {
        "type": "x509",
        "x509": {"caReferences": {"primary": named}},
    }
