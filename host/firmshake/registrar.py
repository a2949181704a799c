"""Who admits a board as a device, has its certificate issued, and keeps the books on both.

For one board it is the program that provisions it; in a fleet it is the station, and the process
that works on a board reaches it over a pipe. The board's private key never reaches a registrar.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from firmshake.ca.identity import PublicKey
from firmshake.project import Project
from firmshake.ways.way import Seen


@dataclass(frozen=True)
class Admission:
    """A board is to be this device. `project` has what differs for it.

    `key` is the type of its key. `words` are to be said, "" where there is nothing to say.
    """

    device_id: str
    project: Project
    key: str
    words: str = ""


@dataclass(frozen=True)
class Signed:
    """A device's certificate, what is above it, and what it trusts."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]


class Registrar(Protocol):
    """All of these raise Error where the answer is no, or where nobody can answer."""

    def known(self, chain: Sequence[x509.Certificate], unique_id: str | None) -> str | None:
        """Return the device id for a chain that a board holds; None where it must get another."""

    def admit(self, seen: Seen, found: str | None) -> Admission:
        """Return who the board is to be; `found` is who it is by the certificate that it holds."""

    def enrol(self, device_id: str, key: PublicKey, seen: Seen) -> Signed:
        """Certify the key of a device that was admitted. It is on the books before it is given."""

    def withdraw(self, serial_number: str) -> None:
        """Revoke a certificate that never reached its board."""

    def written(self, device_id: str, serial_number: str, unique_id: str | None) -> Sequence[str]:
        """Note that the board holds that certificate; return those that this has revoked."""

    def ended(self, device_id: str, is_proved: bool, verdict: str | None) -> None:
        """Note how it ended; `verdict` is None where the board has come to none."""
