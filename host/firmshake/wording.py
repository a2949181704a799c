"""Evidence in people's words: its keys, its values, and the names behind TLS's numbers.

Does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable

# The evidence's keys in people's words, in the order in which they are shown; a key that is not
# here comes last, with spaces for "_".
WORDS = {
    "detail": "in detail",
    "error": "runtime's words",
    "device": "device",
    "file": "file",
    "ssid": "network",
    "host": "host",
    "addr": "address",
    "port": "port",
    "status": "status",
    "code": "return code",
    "client_id": "client id",
    "topic": "topic",
    "wanted": "name wanted",
    "presented": "names shown",
    "subject": "certificate of",
    "issuer": "issued by",
    "aki": "issuer's key id",
    "trusts_ski": "trusted key ids",
    "sha256": "its SHA-256",
    "accepts": "server accepts",
    "trusts": "board trusts",
    "not_before": "valid from",
    "not_after": "valid until",
    "now": "time on the board",
    "clock": "time taken from",
    "servers": "time servers",
    "tls": "TLS version",
    "cipher": "cipher suite",
    "alert": "TLS alert",
    "alert_from": "alert sent by",
    "first_bytes": "first bytes",
    "bytes_in": "bytes received",
    "bytes_out": "bytes sent",
    "errno": "error number",
    "free": "free memory",
    "largest": "largest block",
    "used": "used memory",
    "held_ms": "session held",
    "last_ms": "last heard at",
    "limit_ms": "time limit",
}
_ORDER = {key: number for number, key in enumerate(WORDS)}

# Cipher suites that boards negotiate: number as four hexadecimal digits (IANA), name
SUITES = {
    "1301": "TLS_AES_128_GCM_SHA256",
    "1302": "TLS_AES_256_GCM_SHA384",
    "1303": "TLS_CHACHA20_POLY1305_SHA256",
    "1304": "TLS_AES_128_CCM_SHA256",
    "1305": "TLS_AES_128_CCM_8_SHA256",
    "c009": "ECDHE_ECDSA_AES_128_CBC_SHA",
    "c00a": "ECDHE_ECDSA_AES_256_CBC_SHA",
    "c013": "ECDHE_RSA_AES_128_CBC_SHA",
    "c014": "ECDHE_RSA_AES_256_CBC_SHA",
    "c023": "ECDHE_ECDSA_AES_128_CBC_SHA256",
    "c024": "ECDHE_ECDSA_AES_256_CBC_SHA384",
    "c027": "ECDHE_RSA_AES_128_CBC_SHA256",
    "c028": "ECDHE_RSA_AES_256_CBC_SHA384",
    "c02b": "ECDHE_ECDSA_AES_128_GCM_SHA256",
    "c02c": "ECDHE_ECDSA_AES_256_GCM_SHA384",
    "c02f": "ECDHE_RSA_AES_128_GCM_SHA256",
    "c030": "ECDHE_RSA_AES_256_GCM_SHA384",
    "c0ac": "ECDHE_ECDSA_AES_128_CCM",
    "c0ad": "ECDHE_ECDSA_AES_256_CCM",
    "c0ae": "ECDHE_ECDSA_AES_128_CCM_8",
    "c0af": "ECDHE_ECDSA_AES_256_CCM_8",
    "cca8": "ECDHE_RSA_CHACHA20_POLY1305_SHA256",
    "cca9": "ECDHE_ECDSA_CHACHA20_POLY1305_SHA256",
}

# AlertDescription (RFC 8446, 6; RFC 5246, 7.2): name
ALERTS = {
    "0": "close_notify",
    "10": "unexpected_message",
    "20": "bad_record_mac",
    "21": "decryption_failed",
    "22": "record_overflow",
    "40": "handshake_failure",
    "42": "bad_certificate",
    "43": "unsupported_certificate",
    "44": "certificate_revoked",
    "45": "certificate_expired",
    "46": "certificate_unknown",
    "47": "illegal_parameter",
    "48": "unknown_ca",
    "49": "access_denied",
    "50": "decode_error",
    "51": "decrypt_error",
    "70": "protocol_version",
    "71": "insufficient_security",
    "80": "internal_error",
    "86": "inappropriate_fallback",
    "90": "user_canceled",
    "109": "missing_extension",
    "110": "unsupported_extension",
    "112": "unrecognized_name",
    "113": "bad_certificate_status_response",
    "115": "unknown_psk_identity",
    "116": "certificate_required",
    "120": "no_application_protocol",
}

# The clock's sources, as the agent names them.
_CLOCKS = {
    "floor": "the stamp made at provisioning",
    "host": "this computer",
    "ntp": "a time server",
    "rtc": "the board's own clock",
}

# Values that read better with their unit or their name.
_SHOWN: dict[str, Callable[[str], str]] = {
    "alert": lambda value: f"{value} {ALERTS.get(value, '')}".strip(),
    "cipher": lambda value: SUITES.get(value, value),
    "clock": lambda value: _CLOCKS.get(value, value),
    "free": lambda value: f"{value} bytes",
    "largest": lambda value: f"{value} bytes",
    "used": lambda value: f"{value} bytes",
}


def word(key: str) -> str:
    """The key in people's words."""
    return WORDS.get(key, key.replace("_", " "))


def value(key: str, text: str) -> str:
    """The key's value with its unit or its name, fit to be printed."""
    if key.endswith("_ms") and text.isdigit():
        return f"{text} ms"
    return printable(_SHOWN[key](text) if key in _SHOWN else text)


def in_order(fields: dict[str, str]) -> list[tuple[str, str]]:
    """The fields in the order in which they are shown."""
    return sorted(fields.items(), key=lambda field: _ORDER.get(field[0], len(_ORDER)))


def printable(text: str) -> str:
    """The text with control characters written out: evidence comes from strangers."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def plural(count: int, what: str) -> str:
    """Return what a thing is called behind a number: "board" after 1, "boards" after others."""
    return what if count == 1 else f"{what}s"
