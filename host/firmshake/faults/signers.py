"""Broker certificates with something wrong or unusual about them. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from firmshake.faults import sha1
from firmshake.faults.pki import Pki, Signer, Wish

Make = Callable[[Pki], Signer]


def wished(**said: object) -> Make:
    """By the fleet's CA, with what is said of it (see Wish)."""
    return lambda pki: pki.server(Wish(**said))  # type: ignore[arg-type]


def of_another_ca(name: str, *, with_root: bool) -> Make:
    """By a root that no client trusts, which is sent or not."""

    def make(pki: Pki) -> Signer:
        other = pki.authority(Wish(common_name=name))
        signer = pki.server(Wish(common_name="broker.example"), other)
        return signer.sending(other.certificate) if with_root else signer

    return make


def same_name(pki: Pki) -> Signer:
    """By a root with the name of the fleet's, and another key."""
    subject = pki.root.certificate.subject.rfc4514_string().removeprefix("CN=")
    other = pki.authority(Wish(common_name=subject))
    return pki.server(Wish(), other)


def self_signed(pki: Pki) -> Signer:
    """By its own key."""
    return pki.signed(Wish(), None)


def incomplete(pki: Pki) -> Signer:
    """Sent without the intermediate that issued it."""
    return pki.server().sending()


def foreign_intermediate_missing(pki: Pki) -> Signer:
    """Sent without its intermediate, which nobody else has either."""
    below = pki.authority(Wish(common_name="another issuing CA"), pki.root)
    return pki.server(Wish(), below).sending()


def without_alternative_names(pki: Pki) -> Signer:
    """Its name stands where RFC 9525 forbids clients to look: in the subject."""
    return pki.server(Wish(common_name=pki.names[0], names=()))


def second(pki: Pki, **said: Any) -> Signer:
    """An intermediate below another one."""
    first = pki.authority(
        Wish(common_name="firmshake faults CA 1", key=said.get("key", "ec-p256")), pki.root
    )
    return pki.authority(Wish(common_name="firmshake faults CA 2", **said), first)


def deep(pki: Pki) -> Signer:
    """Two intermediates below the root."""
    return pki.server(Wish(), second(pki))


def in_wrong_order(pki: Pki) -> Signer:
    """Two intermediates, the upper one sent first."""
    signer = deep(pki)
    return signer.sending(*reversed(signer.chain))


def with_root(pki: Pki) -> Signer:
    """Sent with the whole chain, the root at its end."""
    signer = pki.server()
    return signer.sending(*signer.chain, pki.root.certificate)


def expired_above(pki: Pki) -> Signer:
    """By an intermediate that expired."""
    below = pki.authority(Wish(common_name="firmshake faults CA 3", days=(-400, -1)), pki.root)
    return pki.server(Wish(), below)


def by_sha1(pki: Pki) -> Signer:
    """Signed with SHA-1."""
    signer = pki.server()
    return replace(signer, certificate=sha1.signed(signer.certificate, pki.issuing.key))


def rsa_chain(pki: Pki) -> Signer:
    """RSA of 4096 bits from the leaf to both intermediates."""
    return pki.server(Wish(key="rsa-4096"), second(pki, key="rsa-4096"))


def with_names(count: int) -> Make:
    """For so many names more."""
    names = tuple(f"{number:05}.example" for number in range(count))
    return lambda pki: pki.server(Wish(names=(*pki.names, *names)))


def filling(size: int) -> Make:
    """A chain whose Certificate message of TLS 1.2 has exactly `size` bytes."""

    def make(pki: Pki) -> Signer:
        names: tuple[str, ...] = ()
        while True:
            signer = pki.server(Wish(names=(*pki.names, *names)))
            room = size - message_size(signer)
            if room == 0:
                return signer
            if room < 0:
                names = names[1:]
                continue
            # each name takes two bytes more than it is long; ECDSA's signatures vary by a few,
            # so the last one is tried again until it fits
            names = _filled(names, room)

    return make


def _filled(names: tuple[str, ...], room: int) -> tuple[str, ...]:
    full = "x" * 58 + ".example"
    more = room // (len(full) + 2)
    if more > 2:
        return names + (full,) * (more - 2)
    return (*names, "y" * max(1, min(room - 2 - 8, 58)) + ".example")


def message_size(signer: Signer) -> int:
    """Bytes of the Certificate message with its head (RFC 5246, 7.4.2)."""
    chain = (signer.certificate, *signer.chain)
    return 4 + 3 + sum(3 + len(part.public_bytes(Encoding.DER)) for part in chain)
