"""What every export is made of, and the words and files that they share. Does no I/O."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509

from firmshake.ca.certificate import own_key, pem

Files = dict[str, bytes | str]

README = "README.txt"
BROKER_KEY = "broker.key"
# what the keys of an export end in, and the file that mosquitto wants nobody else to read
_PRIVATE = (".key", ".p12", "broker.pem", "acl")
_WIDTH = 92


@dataclass(frozen=True)
class Retired:
    """A CA of the project that issues no more; `is_revoked` where it may not be trusted either."""

    certificate: x509.Certificate
    is_revoked: bool


@dataclass(frozen=True)
class Material:
    """A project, as far as a broker or a cloud has to know it.

    `broker_chain` (leaf first) and `crl` are PEM; `broker_key`, PEM too, is None unless it was
    asked for. `crl_url` is where device certificates say that the list is, and may be empty.
    `retired` are the CAs that issued before `issuing`.
    `issuing_key` is the name of the file with the issuing CA's key, or its URI in a token. `at` is
    the folder that the files will be in at the broker, "" where that is the one in which the broker
    is started; `user` is who runs it.
    """

    fleet: str
    host: str
    port: int
    root: x509.Certificate
    issuing: x509.Certificate
    broker_chain: bytes
    crl: bytes
    broker_key: bytes | None = field(default=None, repr=False)
    retired: Sequence[Retired] = ()
    crl_url: str = ""
    issuing_key: str = ""
    at: str = ""
    user: str = ""

    @property
    def untrusted(self) -> frozenset[str]:
        """The key identifiers of the CAs that were revoked: whatever they signed counts as revoked.

        A key with several certificates is meant only where all of them are.
        """
        good = [one.certificate for one in self.retired if not one.is_revoked]
        trusted = {own_key(one) for one in (self.issuing, *good)}
        return frozenset({own_key(one.certificate) for one in self.retired} - trusted - {""})

    def path(self, name: str) -> str:
        """Return where the file `name` of the export is, as the broker's configuration says it."""
        return f"{self.at}/{name}" if self.at else name


def broker_files(material: Material) -> Files:
    """Return what TLS needs at every broker: its chain, the root, the list of the revoked.

    The root alone, because devices send their intermediate: it can be renewed without the broker.
    """
    files: Files = {
        "broker.crt": material.broker_chain,
        "ca.crt": pem(material.root),
        "crl.pem": material.crl,
    }
    if material.broker_key is not None:
        files[BROKER_KEY] = material.broker_key
    return files


def is_private(name: str) -> bool:
    """Return whether the file `name` of an export is for its owner only."""
    return name.rpartition("/")[2].endswith(_PRIVATE)


def key_step(material: Material) -> str:
    """Return the step of a README that is about the broker's private key."""
    if material.broker_key is not None:
        return carry_key(BROKER_KEY)
    return (
        "Bring the broker's private key, which is not in this folder. In the project:\n"
        "  (umask 077 && openssl pkey -in broker/broker.pem -out broker.key)\n"
        "and copy broker.key beside the other files. (firmshake ca export ... --with-key puts it"
        " here.)"
    )


def trial(material: Material, more: str = "") -> str:
    """Return the step of a README that shows whom the broker lets do what.

    `more` is what else is to be tried while there is the identity for it.
    """
    return (
        "Try it, where the project and mosquitto's clients are (Debian: mosquitto-clients). With an"
        " identity made for it, what is sent to its own topic comes back:\n"
        "  firmshake ca issue trial --out trial\n"
        f"  {_round_trip(material, 'trial')}\n"
        "What it sends to the topic of another does not come back: the command ends with an error,"
        " after five seconds at the latest.\n"
        f"  {_round_trip(material, 'other')}\n"
        f"{more}"
        "Revoke the identity when you are done, and see below what else revoking takes here:\n"
        "  firmshake ca revoke trial --reason cessationOfOperation\n"
        "  rm -r trial"
    )


def _round_trip(material: Material, device_id: str) -> str:
    """A command that publishes to a topic of that device's, and listens on the same."""
    where = f"-h {material.host} -p {material.port} --cafile trial/ca.crt"
    topic = f"devices/{device_id}/hello"
    return (
        f"mosquitto_rr -V mqttv311 {where} --cert trial/trial.crt --key trial/trial.key -i trial"
        f" -t {topic} -e {topic} -m hello -W 5"
    )


def carry_key(name: str) -> str:
    """Return what a README says of a file that holds the broker's key."""
    return (
        f"{name} in this folder holds the broker's private key, in clear, as the broker needs it."
        " Carry the folder over an encrypted line only (scp, not e-mail), and delete the copy here"
        " afterwards."
    )


def readme(title: str, steps: Sequence[str], notes: Mapping[str, str]) -> str:
    """Return a README: numbered steps, then paragraphs under headings.

    In a step or note, the lines that begin with a space are commands, and stay as they are.
    """
    parts = [title, "=" * len(title), ""]
    for number, step in enumerate(steps, 1):
        parts += [_filled(step, f"{number}. ", " " * (len(str(number)) + 2)), ""]
    for heading, text in notes.items():
        parts += [heading, "-" * len(heading), _filled(text, "", ""), ""]
    return "\n".join(parts)


def _filled(text: str, first: str, rest: str) -> str:
    lines: list[str] = []
    for line in text.split("\n"):
        before = rest if lines else first
        if line.startswith(" "):
            lines.append(f"{rest}{line}")
        else:
            lines += textwrap.wrap(
                line,
                _WIDTH,
                initial_indent=before,
                subsequent_indent=rest,
                break_long_words=False,
                break_on_hyphens=False,
            ) or [""]
    return "\n".join(lines)
