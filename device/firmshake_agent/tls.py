"""The tls stage: a handshake under a time limit, watched, and judged where it fails."""

import hashlib

from . import tlscause, x509
from .der import BadDer
from .failure import Failure
from .observer import Observer, version_name
from .tap import LAST_WORD_MS, Tap

# A handshake that had less than this in one block was at its end: a record's buffer takes as much
_ENOUGH = 16384


class Channel:
    """An encrypted connection: `stream` (readinto, write), `tap`, what was `seen`, `evidence`."""

    def __init__(self, sock: object, tap: Tap, seen: Observer, stream: object) -> None:
        self.sock = sock
        self.tap = tap
        self.seen = seen
        self.stream = stream

    def evidence(self) -> "dict[str, object]":
        """Version, cipher suite (its number as in RFC 8446 and RFC 5246) and bytes."""
        seen = self.seen
        return {
            "tls": version_name(seen.version),
            "cipher": "%04x" % seen.cipher if seen.cipher else None,
            "bytes_in": seen.bytes_in,
            "bytes_out": seen.bytes_out,
        }


def secure(
    runtime: object, sock: object, identity: object, clock: object, limit_ms: int
) -> Channel:
    """Do the handshake on a connected socket. Raises Failure with stage tls."""
    seen = Observer(runtime.needs_certificates)
    if not runtime.checks_dates:
        from .chain import Chain  # only who needs it pays for it

        seen.chain = Chain()
    tap = Tap(runtime, sock, seen)
    tap.deadline(limit_ms)
    chain = {}  # DER by depth, 0 the server's own: what the runtime lets us see
    try:
        stream = runtime.handshake(identity.context, tap, identity, chain)
    except Exception as error:
        words = runtime.tls_words(error, tap)
        if "memory" not in words and seen.alert_in < 0 and not tap.late:
            tap.listen(LAST_WORD_MS if seen.shown >= 0 else 0)
        raise failure(runtime, identity, clock, seen, words, chain, limit_ms, error)
    if seen.chain is not None and seen.chain.outside(runtime.now()):
        raise failure(runtime, identity, clock, seen, (), chain, limit_ms)
    channel = Channel(sock, tap, seen, stream)
    if seen.version >= 0x0304:
        _verdict_of_server(runtime, identity, clock, channel)
    return channel


def _verdict_of_server(runtime: object, identity: object, clock: object, channel: Channel) -> None:
    # RFC 8446, 4.4.2.4: with TLS 1.3 the server looks at our certificate after the handshake has
    # ended for us. Its next record is a session ticket, or the alert: one of them before CONNECT.
    tap = channel.tap
    tap.quiet = True
    tap.deadline(0)  # read what has come, and no more
    runtime.wait(channel.sock, True, LAST_WORD_MS)
    words = error = None
    try:
        count = channel.stream.readinto(bytearray(1))  # a broker says nothing before CONNECT
        if count == 0 or tap.ended:
            words = ("eof",)
    except Exception as caught:
        error = caught
        words = runtime.tls_words(error, tap)
    tap.late = False
    if words:
        raise failure(runtime, identity, clock, channel.seen, words, {}, 0, error, True)


def failure(
    runtime: object,
    identity: object,
    clock: object,
    seen: Observer,
    words: "tuple[str, ...]",
    chain: "dict[int, bytes]",
    limit_ms: int,
    error: object = None,
    done: bool = False,
) -> Failure:
    """The Failure for a handshake that ended in `words` (the runtime's), with all its evidence."""
    shows = bool(identity.chain)
    memory = "memory" in words
    where, cause = tlscause.judge(seen, words, shows, done)
    if seen.chain is not None and where in ("client_certificate", "finished") and not memory:
        early = seen.chain.outside(runtime.now())  # what other runtimes stop at comes first
        if early:
            where, cause = "server_certificate", early
    evidence = {
        "tls": version_name(seen.version),
        "wanted": identity.server_name,
        "bytes_in": seen.bytes_in,
        "bytes_out": seen.bytes_out,
        "error": " ".join(str(error).split())[:80] if error is not None else None,
    }
    if cause == "timeout":
        evidence["limit_ms"] = limit_ms
    if seen.cipher:
        evidence["cipher"] = "%04x" % seen.cipher
    figures = runtime.heap()
    evidence["free"], evidence["largest"] = figures.get("free"), figures.get("largest")
    alert = seen.alert_in if seen.alert_in >= 0 else seen.alert_out
    if alert > 0:
        evidence["alert"] = alert
        evidence["alert_from"] = "server" if seen.alert_in >= 0 else "board"
    if where == "client_hello" and seen.first:
        evidence["first_bytes"] = "".join(["%02x" % byte for byte in seen.first])
    if where == "server_certificate":
        leaf, top = _ends(seen, chain)
        own = [read(data) for data in identity.chain[1:]]
        trusts = [read(data) for data in identity.anchors]
        if cause == "unverified":
            cause = _behind(seen, leaf, top, trusts, identity.server_name)
        cause = tlscause.refine(cause, leaf, top, own, runtime.now(), clock.doubtful)
        evidence.update(tlscause.describe(leaf, top, trusts))
        if seen.chain is not None and cause in ("expired", "not_yet_valid", "clock_wrong"):
            # of the chain's dates, those that count: they need not be the first certificate's
            evidence["not_before"] = x509.date(seen.chain.not_before)
            evidence["not_after"] = x509.date(seen.chain.not_after)
        if cause == "unknown_ca" and _is_short_of_memory(figures, leaf, top, trusts):
            cause = "out_of_memory"
        evidence["now"] = x509.date(runtime.now())
        evidence["clock"] = clock.source
        evidence["sha256"] = _fingerprint(seen, chain)
        evidence["trusts_ski"] = ",".join([tlscause.hexed(one.ski) or "" for one in trusts])
    elif where == "client_certificate" and shows:
        own = read(identity.chain[0])
        evidence["subject"] = own.subject
        evidence["issuer"] = own.issuer
        evidence["not_after"] = x509.date(own.not_after)
        evidence["accepts"] = tlscause.accepted(seen.request)
    if cause == "out_of_memory":
        evidence.update(figures)
    return Failure("tls", cause, evidence, where)


def _behind(
    seen: Observer,
    leaf: "x509.Certificate | None",
    top: "x509.Certificate | None",
    trusts: "list[x509.Certificate | None]",
    wanted: str,
) -> str:
    if seen.chain is None:
        return "unknown_ca"  # such a runtime gives its reason, where it has one
    from . import refusal

    return refusal.cause(seen.alert_out, leaf, top, trusts, wanted)


def _is_short_of_memory(
    figures: "dict[str, object]",
    leaf: "x509.Certificate | None",
    top: "x509.Certificate | None",
    trusts: "list[x509.Certificate]",
) -> bool:
    """Whether "not correctly signed" can only mean that memory ran out while it was checked.

    mbedTLS says the same of both. Here the chain's key identifiers lead to an anchor that the board
    holds, and no block is left that an operation on a large key needs.
    """
    if leaf is None or not top.aki:
        return False
    if top.aki not in [anchor.ski for anchor in trusts]:
        return False
    return figures.get("largest", figures.get("free", _ENOUGH)) < _ENOUGH


def _fingerprint(seen: Observer, chain: "dict[int, bytes]") -> "str | None":
    """SHA-256 of the server's own certificate, where all of it was kept."""
    if seen.chain is not None:
        data = seen.chain.leaf
    else:
        data = (chain or dict(enumerate(tlscause.certificates(seen.certificate)))).get(0)
    if not data or read(data) is None:
        return None
    return tlscause.hexed(hashlib.sha256(data).digest())


def _ends(
    seen: Observer, chain: "dict[int, bytes]"
) -> "tuple[x509.Certificate | None, x509.Certificate | None]":
    if seen.chain is not None:
        return read(seen.chain.leaf), read(seen.chain.top)
    if not chain:
        chain = dict(enumerate(tlscause.certificates(seen.certificate)))
    if not chain:
        return None, None
    return read(chain.get(0)), read(chain[max(chain)])


def read(data: "bytes | None") -> "x509.Certificate | None":
    """The certificate, or None where it is missing or cannot be read."""
    try:
        return x509.Certificate(data) if data else None
    except BadDer:
        return None
