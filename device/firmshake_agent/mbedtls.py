"""What mbedTLS's errors mean, in the words that tlscause judges by. Does no I/O.

Both runtimes of boards stand on it: MicroPython, and CircuitPython.
"""

import errno

# Part of its text for a refused certificate (seen on MicroPython 1.23 to 1.29, and in the source of
# CircuitPython 10.3): all that it tells.
_TEXTS = (
    ("validity has expired", "expired"),
    ("starts in the future", "not_yet_valid"),
    ("does not match with the expected CN", "hostname_mismatch"),
    ("not correctly signed", "unknown_ca"),
    ("unacceptable", "weak_key"),  # hash, key type, curve or size
    ("sage does not match", "wrong_usage"),
)

# Its numbers (mbedtls/ssl.h and error.h of 3.x), as OSError's first argument
_NUMBERS = {
    -0x7780: "alert",  # FATAL_ALERT_MESSAGE
    -0x7280: "eof",  # CONN_EOF
    -0x7880: "eof",  # PEER_CLOSE_NOTIFY
    -0x7200: "not_tls",  # INVALID_RECORD
    -0x6E80: "version",  # BAD_PROTOCOL_VERSION
    -0x7680: "no_ca",  # CA_CHAIN_REQUIRED
    -0x2700: "unverified",  # X509_CERT_VERIFY_FAILED: MicroPython says it by a text instead
    -0x7A00: "wrong_usage",  # BAD_CERTIFICATE: the chain is good, its use is not
    -0x7180: "bad_record",  # INVALID_MAC
    -0x7F00: "memory",  # ALLOC_FAILED, and those of the modules below
    -0x4310: "memory",
    -0x2880: "memory",
    -0x3F80: "memory",
    -0x4D80: "memory",
    -0x006A: "memory",
    -0x0010: "memory",
    141: "memory",  # PSA's INSUFFICIENT_MEMORY, as CircuitPython 10.3 passes it on
}


def words(error: Exception, tap: object) -> "tuple[str, ...]":
    """What the error that ended a handshake through this tap means."""
    if isinstance(error, MemoryError):
        return ("memory",)
    text = str(error)
    found = [word for part, word in _TEXTS if part in text]
    if isinstance(error, OSError) and error.args:
        code = error.args[0]
        if code == errno.ENOMEM:
            found.append("memory")
        elif code in _NUMBERS:
            found.append(_NUMBERS[code])
        elif isinstance(code, int) and -0x2A00 <= code <= -0x2080:  # the X.509 module's numbers
            found.append("malformed")
    if tap.late:
        found.append("timeout")
    if tap.errno:
        found.append("reset")
    if tap.ended:
        found.append("eof")
    return tuple(found)
