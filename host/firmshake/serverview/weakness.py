"""What boards refuse in a certificate though nothing is wrong with it elsewhere. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from firmshake.serverview.certview import CertificateView
from firmshake.serverview.finding import ERROR, Finding
from firmshake.serverview.firmwares import FIRMWARES, HASHES, LEAST_RSA_BITS, Firmware

# mbedTLS takes a message of the handshake in one record (MBEDTLS_SSL_IN_CONTENT_LEN), and the
# Certificate message has 3 bytes more for each certificate and 7 for itself
_LONGEST_CHAIN = 16384

_FIX = "Issue it with an EC P-256 key and SHA-256, as firmshake does."


def of_chain(links: Sequence[CertificateView]) -> Iterator[Finding]:
    """What is too weak, too new or too large for boards, of the links below the anchor."""
    for one in links:
        yield from _of_key(one)
        if one.hash and one.hash not in HASHES:
            text = f"{one.subject!r} is signed with {one.hash.upper()}, which boards refuse."
            yield Finding("weak_signature", ERROR, text, _FIX)
        if one.signature == "RSASSA-PSS":
            yield from _cannot(
                lambda firmware: firmware.pss, f"{one.subject!r} is signed with RSASSA-PSS"
            )
    size = 7 + sum(one.size + 3 for one in links)
    if size > _LONGEST_CHAIN:
        text = f"The chain is {size} bytes long; a board takes {_LONGEST_CHAIN}."
        yield Finding("chain_too_long", ERROR, text, "Send fewer or smaller certificates.")


def of_anchor(anchor: CertificateView) -> Iterator[Finding]:
    """The same of the anchor, of which only the key counts."""
    yield from _of_key(anchor)


def _of_key(one: CertificateView) -> Iterator[Finding]:
    if 0 < one.rsa_bits < LEAST_RSA_BITS:
        text = f"{one.subject!r} has an RSA key of {one.rsa_bits} bits; boards want 2048."
        yield Finding("weak_key", ERROR, text, _FIX)
    if not one.rsa_bits:
        yield from _cannot(
            lambda firmware: one.curve in firmware.curves, f"{one.subject!r} has a key {one.key}"
        )


def _cannot(can: Callable[[Firmware], bool], what: str) -> Iterator[Finding]:
    if unable := _unable(can):
        who = " and ".join(unable)
        yield Finding("unsupported_key", ERROR, f"{what}, which {who} cannot check.", _FIX)


def unable_boards(curve: str) -> list[str]:
    """The boards whose firmware cannot use a key on this curve; all of them where it is ""."""
    return _unable(lambda firmware: curve in firmware.curves)


def _unable(can: Callable[[Firmware], bool]) -> list[str]:
    return [firmware.board for firmware in FIRMWARES if not can(firmware)]
