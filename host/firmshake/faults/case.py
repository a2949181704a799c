"""What a fault is: its name, the verdict that its evidence supports, and how it is served.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmshake.faults.bench import Bench

TLS12 = "1.2"
TLS13 = "1.3"
BOTH = (TLS12, TLS13)
# faults that come before any version is agreed on
ANY = ("any",)

# what `needs` names
MOSQUITTO = "mosquitto"
TLSLITE = "tlslite-ng"

# serves one version of a case on the bench; returns the port
Serve = Callable[["Bench", str], int]


@dataclass(frozen=True)
class Case:
    """One fault of a server or a network.

    `verdict` is what a client can know; `unless` replaces it for a version ("1.3"), a runtime
    ("micropython") or both ("micropython 1.3"). `settings` is what the client's settings need
    beyond host and port. `client` is the identity to connect with: "good" or "none". `holds` says
    that the fault comes only to a session that is held. `slow_s` is about how many seconds its keys
    take to make. `needs` names the program or package that makes it, "" for Python alone.
    """

    name: str
    what: str
    verdict: str
    versions: tuple[str, ...]
    serve: Serve = field(repr=False, compare=False)
    unless: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    client: str = "good"
    holds: bool = False
    slow_s: int = 0
    needs: str = ""

    def expected(self, version: str, runtime: str = "") -> str:
        """The verdict of a client of that runtime; of a full library where none is named."""
        for key in (f"{runtime} {version}", runtime, version):
            if key in self.unless:
                return self.unless[key]
        return self.verdict
