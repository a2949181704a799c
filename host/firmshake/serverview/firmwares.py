"""What each board's stock firmware can do in TLS: the table that a broker is held against.

Does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmshake.serverview import suites

TLS12 = 0x0303
TLS13 = 0x0304

# NamedGroup (RFC 8446, 4.2.7): name, as cryptography names the curve of a key
GROUPS = {
    0x0015: "secp224r1",
    0x0016: "secp256k1",
    0x0017: "secp256r1",
    0x0018: "secp384r1",
    0x0019: "secp521r1",
    0x001A: "brainpoolP256r1",
    0x001B: "brainpoolP384r1",
    0x001C: "brainpoolP512r1",
    0x001D: "x25519",
    0x001E: "x448",
}
NIST = (0x0017, 0x0018, 0x0019)

# SignatureScheme (RFC 8446, 4.2.3) for TLS 1.2 in mbedTLS's order: ECDSA and RSA PKCS#1 v1.5 with
# SHA-512, SHA-384, SHA-256 (ssl_tls12_preset_default_sig_algs in library/ssl_tls.c of 3.6)
_SIGNATURES = (0x0603, 0x0601, 0x0503, 0x0501, 0x0403, 0x0401)

_LAST = 0xC03C  # of mbedTLS in the table of suites: what follows it lacks


def _without(*words: str) -> tuple[int, ...]:
    """The TLS 1.2 suites of mbedTLS in its order, but for those that are made of such a thing."""
    known = suites.TLS12[: suites.TLS12.index(_LAST) + 1]
    return tuple(number for number in known if suites.words(number).isdisjoint(words))


@dataclass(frozen=True)
class Firmware:
    """A firmware's TLS: newest version, suites in order, groups, and what certificates it takes.

    `curves` are those of keys in certificates; `pss` is whether it can check RSASSA-PSS
    signatures on certificates; `source` is where this was read, or seen.
    """

    key: str
    board: str
    version: int
    suites: tuple[int, ...]
    groups: tuple[int, ...]
    signatures: tuple[int, ...]
    curves: tuple[str, ...]
    pss: bool
    resumes: bool
    source: str


FIRMWARES = (
    Firmware(
        key="esp32",
        board="ESP32",
        version=TLS12,
        # ESP-IDF's defaults: neither DHE, Camellia nor ChaCha20; 58 were seen in its hello
        suites=_without("DHE", "CAMELLIA", "CHACHA"),
        groups=NIST,  # X25519 and Brainpool are turned off in sdkconfig.base
        signatures=_SIGNATURES,
        curves=("secp256r1", "secp384r1", "secp521r1", "secp256k1"),
        pss=True,
        resumes=False,
        source="MicroPython ports/esp32/boards/sdkconfig.base; ESP-IDF components/mbedtls/Kconfig",
    ),
    Firmware(
        key="rp2",
        board="Pico W",
        version=TLS12,
        # AES in CBC and GCM alone: 18 were seen in its hello
        suites=_without("DHE", "CAMELLIA", "CHACHA", "CCM", "ARIA", "ECDH"),
        groups=NIST,
        signatures=_SIGNATURES,
        curves=("secp256r1", "secp384r1", "secp521r1", "secp256k1"),
        pss=False,  # MBEDTLS_PKCS1_V15 alone
        resumes=False,
        source="MicroPython extmod/mbedtls/mbedtls_config_common.h",
    ),
)

# What stock mbedTLS refuses in any certificate below the anchor (mbedtls_x509_crt_profile_default)
LEAST_RSA_BITS = 2048
HASHES = ("sha256", "sha384", "sha512")
