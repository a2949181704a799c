"""From what a handshake showed to the step that failed and its cause. Does no I/O.

Evidence comes in this order: the server's alert, the runtime's word on the server's certificate,
the records seen, the end of the connection. A cause is named only where the evidence allows no
other; see docs/serial-protocol.md for the fields that travel with it.
"""

from . import der, x509
from . import observer as tls

# AlertDescription (RFC 8446, 6) before the ServerHello: the server did not like our hello.
_HELLO_ALERTS = {
    40: "no_shared_cipher",  # handshake_failure
    70: "protocol_version",
    71: "no_shared_cipher",  # insufficient_security
    86: "protocol_version",  # inappropriate_fallback
    112: "sni_rejected",  # unrecognized_name
    120: "alpn_rejected",  # no_application_protocol
}

# AlertDescription once the server has been shown, or has asked for, a certificate.
_CLIENT_ALERTS = {
    42: "rejected",  # bad_certificate: servers send it for many reasons
    43: "unsupported",  # unsupported_certificate
    44: "revoked",  # certificate_revoked
    45: "expired",  # certificate_expired
    46: "rejected",  # certificate_unknown
    48: "unknown_ca",
    49: "access_denied",
    51: "key_mismatch",  # decrypt_error: our CertificateVerify did not verify
    116: "missing",  # certificate_required
}

# What a runtime says of the server's certificate, the gravest first: a certificate of an unknown
# CA proves nothing by its dates or names.
VERIFY = (
    "no_ca",
    "unknown_ca",
    "self_signed",
    "too_large",
    "weak_key",
    "wrong_usage",
    "hostname_mismatch",
    "not_yet_valid",
    "expired",
)

# Finite-field groups below this are refused by OpenSSL, and below half of it by mbedTLS
_DH_BITS = 2048

# An encrypted alert in TLS 1.3: level, description, the inner content type and a 16-byte tag.
ENCRYPTED_ALERT = 19


def step(seen: tls.Observer, ours: bool = False) -> str:
    """The step of the handshake that was under way when it ended, `ours` where we broke it off."""
    if seen.version >= 0x0304:  # all but the sizes is hidden behind the ServerHello
        if seen.messages[-1] == (False, tls.CLIENT_HELLO):
            return "server_hello"  # it was a HelloRetryRequest: we have asked again
        return "client_certificate" if seen.encrypted_out else "server_certificate"
    if seen.saw(False, 0) or (seen.saw(False, tls.CLIENT_KEY_EXCHANGE) and seen.shown < 0):
        return "finished"
    if seen.shown >= 0:
        return "client_certificate" if seen.asked_certificate else "finished"
    if seen.saw(True, tls.SERVER_HELLO_DONE) and not ours:
        return "client_certificate" if seen.asked_certificate else "finished"
    if seen.version:  # the ServerHello has come whole; the server's flight is judged as one
        return "server_certificate"
    return "server_hello" if _is_tls(seen.first) else "client_hello"


def judge(
    seen: tls.Observer, words: "tuple[str, ...]", shows: bool, done: bool = False
) -> "tuple[str, str]":
    """(step, cause) of a failed handshake.

    `words` is what the runtime's error means (see the runtimes' tables), `shows` whether the board
    has a certificate to show, `done` that the board had finished, and waited for the server.
    """
    where = "finished" if done else step(seen, _ending(words) == "protocol_error")
    if "memory" in words:
        return where, "out_of_memory"
    # a warning ends nothing (RFC 5246, 7.2.2), but for the notice of a close
    alert = seen.alert_in if seen.alert_level_in != 1 or seen.alert_in == 0 else -1
    for word in words:  # a runtime that decrypts alerts tells their number
        if word.startswith("alert:"):
            alert = int(word[6:])
    if alert > 0:  # 0 is close_notify, an end like any other
        return _alert(alert, where, seen, shows)
    for word in VERIFY:
        if word in words:
            return "server_certificate", "unknown_ca" if word == "no_ca" else word
    if "unverified" in words:
        return "server_certificate", "unverified"
    if where == "client_hello":
        return where, _not_tls(seen.first) or _ending(words)
    if "version" in words or 0 < seen.version < 0x0303:
        return "server_hello", "protocol_version"
    if "malformed" in words and where == "server_certificate":
        return where, "malformed"
    if seen.version >= 0x0304 and ("alert" in words or refused_by_size(seen)):
        return refused(shows)  # encrypted: it can be told that it is fatal, not which it is
    if "bad_record" in words:
        return "finished", "bad_record"
    ending = _ending(words)
    if ending == "protocol_error" and where == "server_certificate":
        return where, _too_much(seen) or ending
    return where, "closed" if alert == 0 and ending == "protocol_error" else ending


def _too_much(seen: tls.Observer) -> "str | None":
    """What the board itself may have broken off for, where it has not said why."""
    if 0 < seen.dh_bits < _DH_BITS:
        return "weak_key"
    # in TLS 1.3 the size of the message is hidden in that of the records
    size = seen.bytes_in if seen.version >= 0x0304 else seen.chain_size
    return "too_large" if size > tls.LARGEST else None


def refused_by_size(seen: tls.Observer) -> bool:
    """Whether the server's one answer to our certificate was a record that only an alert fits.

    Where it closes before it has read all of our flight, that is all that is left of its reason.
    """
    return seen.encrypted_out > 0 and seen.after_flight == [ENCRYPTED_ALERT]


def refused(shows: bool) -> "tuple[str, str]":
    """The verdict where the server refused our certificate, and its reason cannot be read."""
    return "client_certificate", "rejected" if shows else "missing"


def _alert(alert: int, where: str, seen: tls.Observer, shows: bool) -> "tuple[str, str]":
    if alert == 70:
        return "server_hello", "protocol_version"
    if where == "server_hello":
        return where, _HELLO_ALERTS.get(alert, "server_error")
    if alert in (20, 21):  # bad_record_mac, decryption_failed
        return "finished", "bad_record"
    asked = seen.asked_certificate or seen.version >= 0x0304
    if alert == 40 and asked:  # handshake_failure: TLS 1.2's only word for "none shown"
        empty = not shows or 0 <= seen.shown <= 7
        return "client_certificate", "missing" if empty else "rejected"
    if alert in _CLIENT_ALERTS and asked:
        return "client_certificate", _CLIENT_ALERTS[alert]
    return where, "protocol_error"


def _is_tls(first: bytes) -> bool:
    return len(first) >= 3 and tls.CHANGE_CIPHER_SPEC <= first[0] <= 23 and first[1] == 3


def _not_tls(first: bytes) -> "str | None":
    if not first or _is_tls(first):
        return None
    if first[:5] == b"HTTP/" or first[:1] == b"<":
        return "not_tls_http"
    return "not_tls_mqtt" if first[:2] == b"\x20\x02" else "not_tls"


def _ending(words: "tuple[str, ...]") -> str:
    for word, cause in (("timeout", "timeout"), ("reset", "reset"), ("eof", "closed")):
        if word in words:
            return cause
    return "protocol_error"


def refine(
    cause: str,
    leaf: "x509.Certificate | None",
    top: "x509.Certificate | None",
    own: "list[x509.Certificate]",
    now: int,
    doubtful: bool,
) -> str:
    """The cause of a refused server certificate, seen beside what the board knows.

    `leaf` and `top` are the first and the last certificate that the server sent, `own` the
    intermediates that the board carries for itself, `doubtful` whether the clock is only a guess:
    then the true time is `now` or later.
    """
    if cause == "unknown_ca" and leaf is not None:
        if leaf.issuer == leaf.subject and leaf.aki in (b"", leaf.ski):
            return "self_signed"
        for carried in own:
            if top is not None and top.aki and top.aki == carried.ski:
                return "incomplete_chain"
    if cause == "not_yet_valid" and doubtful:
        return "clock_wrong"
    return cause


def describe(
    leaf: "x509.Certificate | None",
    top: "x509.Certificate | None",
    trusts: "list[x509.Certificate]",
) -> "dict[str, object]":
    """Evidence from the certificates: who, by whom, when, for which names, and what we trust."""
    evidence = {"trusts": ", ".join([anchor.subject for anchor in trusts])}
    if leaf is None:
        return evidence
    names = ", ".join(leaf.names) or leaf.subject
    more = leaf.name_count - len(leaf.names)
    evidence["subject"] = leaf.subject or names
    evidence["presented"] = names + (" and %d more" % more if more > 0 else "")
    evidence["not_before"] = x509.date(leaf.not_before)
    evidence["not_after"] = x509.date(leaf.not_after)
    evidence["issuer"] = (top or leaf).issuer
    evidence["aki"] = hexed((top or leaf).aki)
    return evidence


def accepted(request: bytes) -> "str | None":
    """Names of CAs that a TLS 1.2 CertificateRequest accepts, those that were kept whole.

    certificate_types, supported_signature_algorithms, certificate_authorities: RFC 5246, 7.4.4.
    """
    names = []
    try:
        at = 1 + request[0]
        at += 4 + (request[at] << 8 | request[at + 1])
        while at + 2 <= len(request):
            size = request[at] << 8 | request[at + 1]
            at += 2
            if size == 0 or at + size > len(request):
                break
            field = der.element(request, at, at + size)
            names.append(x509.name(request, field))
            at += size
    except (IndexError, der.BadDer):
        pass  # cut off, or none of ours to judge
    return ", ".join(names) or None


def hexed(data: bytes) -> "str | None":
    return "".join(["%02x" % byte for byte in data]) or None


def certificates(message: bytes) -> "list[bytes]":
    """The certificates in the kept bytes of a TLS 1.2 Certificate message, whole ones only."""
    found = []
    at = 3
    while at + 3 <= len(message):
        size = message[at] << 16 | message[at + 1] << 8 | message[at + 2]
        at += 3
        if size == 0 or at + size > len(message):
            break
        found.append(message[at : at + size])
        at += size
    return found
