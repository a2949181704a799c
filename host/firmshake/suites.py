"""Names of TLS numbers: cipher suites that boards negotiate, and alerts that servers send.

Does no I/O. Sources: IANA "TLS Cipher Suites" and "TLS Alerts".
"""

from __future__ import annotations

# number as four hex digits: name
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
