"""Asks a server by hellos alone: which versions and suites it takes, and what each board gets.

Each question is a connection of its own, closed when the first flight is answered.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmshake.serverview import suites
from firmshake.serverview.answer import Answer, Reader
from firmshake.serverview.firmwares import FIRMWARES, TLS12, TLS13, Firmware
from firmshake.serverview.hello import Offer, client_hello
from firmshake.serverview.reach import Server, Unreached, connection, wait

# for all the suites; a server that may take longer for one answer has the time of two
_BUDGET_S = 30.0

VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", TLS12: "TLS 1.2", TLS13: "TLS 1.3"}


@dataclass(frozen=True)
class Choice:
    """What the server would do with a firmware's own hello."""

    firmware: Firmware
    answer: Answer

    @property
    def agreed(self) -> bool:
        """Whether there is a suite in common."""
        return bool(self.answer.version) and self.answer.suite in self.firmware.suites


@dataclass(frozen=True)
class Offered:
    """What the server takes: a suite list for each version, in the order in which it chose them.

    `stopped` says why the list is not complete, where it is not.
    """

    suites: dict[int, tuple[int, ...]] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()
    own_order: bool | None = None
    stopped: str = ""

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(version for version, found in self.suites.items() if found)


def ask(server: Server, offer: Offer, whole: bool = True) -> Answer:
    """The server's answer to a hello; only its ServerHello where not `whole`.

    Raises Unreached where it cannot be reached, or is silent until the time limit.
    """
    until = time.monotonic() + server.limit_s
    reader = Reader()
    with connection(server) as opened:
        try:
            opened.sendall(client_hello(offer, os.urandom(32), _share()))
            while not reader.done and (whole or not reader.answer.version):
                if not wait(opened, until):
                    raise Unreached("tls.client_hello/timeout", f"{server.where} stays silent")
                data = opened.recv(16384)
                if not data:
                    break
                reader.feed(data)
        except ConnectionError:
            pass  # as good as an alert without a number
    return reader.answer


def survey(server: Server) -> Offered:
    """Every version and suite that the server takes, by elimination, and each firmware's choice.

    Raises Unreached where not even the first question is answered.
    """
    until = time.monotonic() + max(_BUDGET_S, 2 * server.limit_s)
    choices = tuple(Choice(firmware, ask(server, of(firmware, server))) for firmware in FIRMWARES)
    found: dict[int, tuple[int, ...]] = {}
    try:
        for version in reversed(VERSIONS):
            found[version] = tuple(_eliminate(server, version, until))
        order = _own_order(server, found.get(TLS12, ()))
    except Unreached as stop:
        return Offered(found, choices, stopped=stop.said)
    return Offered(found, choices, order)


def of(firmware: Firmware, server: Server) -> Offer:
    """The hello that this firmware sends to the server."""
    return Offer(
        firmware.version, firmware.suites, firmware.groups, firmware.signatures, server.name
    )


def _eliminate(server: Server, version: int, until: float) -> Iterable[int]:
    """What the server picks from the suites that are left, until it picks none."""
    left = list(suites.TLS13 if version == TLS13 else suites.TLS12)
    while left:
        if time.monotonic() > until:
            raise Unreached("", "it took too long to ask for every suite")
        offer = Offer(version, tuple(left), name=server.asked, alpn=server.alpn)
        answer = ask(server, offer, whole=False)
        if answer.version != version or answer.suite not in left:
            return
        yield answer.suite
        left.remove(answer.suite)


def _own_order(server: Server, taken: Sequence[int]) -> bool | None:
    """Whether the server's preference counts, not the client's; None where it cannot be told."""
    if len(taken) < 2:
        return None
    offer = Offer(TLS12, tuple(reversed(taken)), name=server.asked, alpn=server.alpn)
    chosen = ask(server, offer, whole=False).suite
    return None if not chosen else chosen == taken[0]


def _share() -> bytes:
    """A fresh public point on P-256. Nobody keeps its private half: no handshake is finished."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
