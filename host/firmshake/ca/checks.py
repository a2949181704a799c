"""Whether a key, a certificate and a chain are in order: the checks of `import` and `inspect`.

Does no I/O: pure functions of values, the time among them, each answering with findings. What is
wrong with one certificate alone is in `certchecks`.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification

from firmshake.ca.certchecks import (
    BROKER,
    CA,
    DEVICE,
    ROLES,
    check_certificate,
    check_key,
    role_of,
)
from firmshake.ca.finding import NOTE, WARNING, WRONG, Finding, taken_over, worst_first
from firmshake.serverview import certview, weakness

__all__ = [
    "BROKER",
    "CA",
    "DEVICE",
    "NOTE",
    "ROLES",
    "WARNING",
    "WRONG",
    "Finding",
    "check_certificate",
    "check_chain",
    "check_key",
    "check_pair",
    "role_of",
    "spki",
    "worst_first",
]

# mbedTLS follows no more between leaf and anchor (MBEDTLS_X509_MAX_INTERMEDIATE_CA)
_MOST_INTERMEDIATES = 8
# leaf, two intermediates and a root; each more costs a board some 700 bytes and a signature
_USUAL_CHAIN = 4

_BEHIND = "Append it to this file, behind the certificate that it issued."


def spki(key: object) -> bytes:
    """The SubjectPublicKeyInfo (DER, RFC 5280 section 4.1.2.7) of a public or private key.

    b"" where the key is of a kind that has none.
    """
    public = key.public_key() if hasattr(key, "public_key") else key
    if not hasattr(public, "public_bytes"):
        return b""
    try:
        found = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except certview.ODD:
        return b""
    assert isinstance(found, bytes)
    return found


def check_pair(key: object, certificate: x509.Certificate) -> tuple[Finding, ...]:
    """Whether `key`, private or public, is the one that `certificate` was made for."""
    try:
        theirs = spki(certificate.public_key())
    except certview.ODD:
        what = f"The key in {certview.name(certificate)!r} is of a kind that cannot be compared."
        return (Finding(WARNING, "unknown_key", what),)
    if theirs == spki(key):
        return ()
    what = f"The private key is not the one of {certview.name(certificate)!r}."
    fix = "Find the key that was made with it, or issue the certificate again for this key."
    return (Finding(WRONG, "key_mismatch", what, fix),)


def check_chain(
    certificates: Sequence[x509.Certificate],
    now: datetime,
    *,
    known: Sequence[x509.Certificate] = (),
    complete: bool = True,
) -> tuple[tuple[x509.Certificate, ...], tuple[Finding, ...]]:
    """Return `certificates` in order (leaf first, root last), and what is wrong between them.

    `known` are certificates that are at hand elsewhere: the chain may end at one of them, and what
    they tell of a gap is told. With `complete`, a chain that reaches no root is wrong; without, it
    is as it should be in what a server shows, and only noted. What belongs to no chain is left out
    of what is returned. Each certificate's own faults are `check_certificate`'s.
    """
    with certview.quiet():
        unique = list(dict.fromkeys(certificates))
        found = list(_duplicates(certificates, unique))
        if not unique:
            return (), tuple(found)
        ordered, above = _path(unique, known)
        whole = [*ordered, *above]
        found += _order(unique, ordered)
        found += _end(unique, whole, above, complete)
        found += _strays(unique, ordered)
        for issued, issuer in itertools.pairwise(whole):
            found += _link(issued, issuer)
        found += _path_lengths(whole)
        found += _length(whole, now)
        if not any(one.severity == WRONG for one in found):
            found += _verifiers(whole, now)
    return tuple(ordered), worst_first(found)


def _duplicates(
    given: Sequence[x509.Certificate], unique: Sequence[x509.Certificate]
) -> Iterator[Finding]:
    for one in unique:
        if (times := list(given).count(one)) > 1:
            what = f"{certview.name(one)!r} is there {times} times."
            yield Finding(WARNING, "duplicate", what, "Leave one of them.")


def _path(
    unique: Sequence[x509.Certificate], known: Sequence[x509.Certificate]
) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """The chain from the leaf on, and what of `known` continues it up to a root."""
    path, left = [_leaf(unique)], list(unique)
    left.remove(path[0])
    while (found := _issuer(path[-1], left)) is not None:
        path.append(found)
        left.remove(found)
    above: list[x509.Certificate] = []
    rest = [one for one in dict.fromkeys(known) if one not in unique]
    while (found := _issuer([*path, *above][-1], rest)) is not None:
        above.append(found)
        rest.remove(found)
    return path, above


def _leaf(unique: Sequence[x509.Certificate]) -> x509.Certificate:
    """The one that issued none of the others; one that is no CA's before those that are."""
    issuers = {
        one
        for one in unique
        for other in unique
        if other is not one and certview.names_issuer(other, one)
    }
    ends = [one for one in unique if one not in issuers]
    return next((one for one in ends if role_of(one) != CA), (ends or list(unique))[0])


def _issuer(issued: x509.Certificate, among: Sequence[x509.Certificate]) -> x509.Certificate | None:
    if certview.signed_by(issued, issued):
        return None
    return next((one for one in among if certview.signed_by(issued, one)), None)


def _order(
    unique: Sequence[x509.Certificate], ordered: Sequence[x509.Certificate]
) -> Iterator[Finding]:
    places = [unique.index(one) for one in ordered]
    if places != sorted(places):
        names = ", ".join(repr(certview.name(one)) for one in ordered)
        what = f"The certificates are in the wrong order; boards do not sort them. Right: {names}."
        fix = "Put each certificate in front of the one that issued it."
        yield Finding(WRONG, "out_of_order", what, fix)


def _end(
    unique: Sequence[x509.Certificate],
    whole: Sequence[x509.Certificate],
    above: Sequence[x509.Certificate],
    complete: bool,
) -> Iterator[Finding]:
    """What there is to say of where the chain ends."""
    if above and not certview.signed_by(above[0], above[0]):
        what = f"The intermediate {certview.name(above[0])!r} is not in this file: whoever shows"
        what += " this certificate has to send it too."
        yield Finding(WARNING, "incomplete_chain", what, _BEHIND)
    top = whole[-1]
    if certview.signed_by(top, top):
        return
    subject, issuer = certview.name(top), certview.name(top, "issuer")
    namesakes = [one for one in unique if one is not top and certview.names_issuer(top, one)]
    if namesakes:
        what = f"{subject!r} was issued by a CA {issuer!r} with another key than the one here."
        fix = "The CA was made anew under its old name: issue the certificate again."
        yield Finding(WRONG, "unknown_ca", what, fix)
        return
    if certview.names_issuer(top, top):
        what = f"{subject!r} names itself as its issuer, but its signature is not its own."
        yield Finding(WRONG, "bad_signature", what, "Get the certificate again: it was changed.")
        return
    gap = any(role_of(one) == CA for one in unique if one not in whole)
    if above and not complete:
        return  # it is said of what stands above
    severity = WRONG if complete or gap else NOTE
    what = f"{subject!r} was issued by {issuer!r}, which is not here."
    fix = _BEHIND if gap or complete else "Give it too, and it is checked against it."
    yield Finding(severity, "incomplete_chain", what, fix)


def _strays(
    unique: Sequence[x509.Certificate], ordered: Sequence[x509.Certificate]
) -> Iterator[Finding]:
    for one in unique:
        if one not in ordered:
            what = f"{certview.name(one)!r} does not belong to the chain of "
            what += f"{certview.name(ordered[0])!r}."
            yield Finding(WARNING, "superfluous", what, "Leave it out, or put in what is missing.")


def _link(issued: x509.Certificate, issuer: x509.Certificate) -> Iterator[Finding]:
    """What is wrong between two of which the second signed the first."""
    below, above = certview.name(issued), certview.name(issuer)
    if not certview.is_ca(issuer):
        what = f"{above!r} issued {below!r} and may not: it lacks CA:TRUE or keyCertSign."
        yield Finding(WRONG, "not_a_ca", what, "Issue it from a CA.")
    named = certview.extension(issued, x509.AuthorityKeyIdentifier)
    own = certview.extension(issuer, x509.SubjectKeyIdentifier)
    if named and own and named.key_identifier not in (None, own.digest):
        what = f"{below!r} names another key of its issuer than the one that {above!r} states."
        fix = "Some software finds no chain then: issue it again."
        yield Finding(WARNING, "key_identifier", what, fix)
    ends, last = issued.not_valid_after_utc, issuer.not_valid_after_utc
    if ends > last:
        what = f"{below!r} ends {certview.days(ends - last)} after its issuer {above!r}."
        fix = f"It is refused from {last:%Y-%m-%d} on: renew the issuer before that day."
        yield Finding(WARNING, "outlives_issuer", what, fix)


def _path_lengths(whole: Sequence[x509.Certificate]) -> Iterator[Finding]:
    """RFC 5280 section 4.2.1.9: how many intermediates may stand between a CA and the leaf."""
    for place, one in enumerate(whole):
        limit = certview.extension(one, x509.BasicConstraints)
        below = [other for other in whole[1:place] if other.subject != other.issuer]
        if role_of(whole[0]) == CA and place:
            below.append(whole[0])
        if limit and limit.path_length is not None and len(below) > limit.path_length:
            what = f"{certview.name(one)!r} allows {limit.path_length} CAs below it;"
            what += f" there are {len(below)}."
            yield Finding(WRONG, "path_length", what, "Issue from the CA above it.")


def _length(whole: Sequence[x509.Certificate], now: datetime) -> Iterator[Finding]:
    sent = [one for one in whole if not certview.signed_by(one, one)]
    views = [certview.of(one, now) for one in sent]
    yield from taken_over(one for one in weakness.of_chain(views) if one.code == "chain_too_long")
    if len(sent) - 1 > _MOST_INTERMEDIATES:
        what = f"There are {len(sent) - 1} intermediates; boards follow {_MOST_INTERMEDIATES}."
        yield Finding(WRONG, "chain_too_long", what, "Issue from a CA nearer to the root.")
    elif len(whole) > _USUAL_CHAIN:
        what = f"The chain has {len(whole)} certificates: each costs a board memory and time."
        yield Finding(WARNING, "long_chain", what, "One intermediate is enough for a fleet.")


def _verifiers(whole: Sequence[x509.Certificate], now: datetime) -> Iterator[Finding]:
    """The last word of an independent path check, on a server's chain that looks good.

    At a time within everybody's dates: those are told of elsewhere. It knows browsers' rules, which
    say nothing of clients.
    """
    leaf, root = whole[0], whole[-1]
    starts = max(one.not_valid_before_utc for one in whole)
    ends = min(one.not_valid_after_utc for one in whole)
    names = certview.names(leaf)
    if len(whole) == 1 or role_of(leaf) == CA or starts > ends or not names:
        return
    if not certview.signed_by(root, root):
        return
    when = min(max(now, starts), ends)
    builder = verification.PolicyBuilder().store(verification.Store([root])).time(when)
    try:
        _server(builder, names[0]).verify(leaf, list(whole[1:-1]))
    except (verification.VerificationError, *certview.ODD) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        reason = first.partition(" (encountered")[0].rstrip(".")
        what = f"The path check of web browsers refuses the chain: {reason}."
        yield Finding(WARNING, "strict", what, "Boards are less strict; others may not.")


def _server(builder: verification.PolicyBuilder, name: str) -> verification.ServerVerifier:
    try:
        return builder.build_server_verifier(x509.IPAddress(ipaddress.ip_address(name)))
    except ValueError:
        return builder.build_server_verifier(x509.DNSName(name))
