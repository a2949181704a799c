"""The faults of the server's first answer: versions, ciphers, alerts and broken messages."""

from __future__ import annotations

import socket
import ssl
import time

from firmshake.faults import oddtls, ports
from firmshake.faults.bench import Bench
from firmshake.faults.case import ANY, BOTH, TLS12, TLSLITE, Case, Serve
from firmshake.faults.mqtt import Broker
from firmshake.faults.oddtls import Odd
from firmshake.faults.pki import Wish

# AlertDescription (RFC 8446, 6 and the older ones of RFC 5246, 7.2) and what it means for a hello
ALERTS: tuple[tuple[int, str, str], ...] = (
    (0, "close_notify", "closed"),
    (10, "unexpected_message", "server_error"),
    (22, "record_overflow", "server_error"),
    (40, "handshake_failure", "no_shared_cipher"),
    (47, "illegal_parameter", "server_error"),
    (50, "decode_error", "server_error"),
    (70, "protocol_version", "protocol_version"),
    (71, "insufficient_security", "no_shared_cipher"),
    (80, "internal_error", "server_error"),
    (86, "inappropriate_fallback", "protocol_version"),
    (90, "user_canceled", "server_error"),
    (109, "missing_extension", "server_error"),
    (110, "unsupported_extension", "server_error"),
    (112, "unrecognized_name", "sni_rejected"),
    (113, "bad_certificate_status_response", "server_error"),
    (115, "unknown_psk_identity", "server_error"),
    (120, "no_application_protocol", "alpn_rejected"),
)


def odd(what: Odd, key: str = "ec-p256") -> Serve:
    """A server that OpenSSL would not be, with a good certificate of that key."""

    def serve(bench: Bench, version: str) -> int:
        signer = bench.pki.once(f"server {key}", lambda: bench.pki.server(Wish(key=key)))
        return bench.listen(oddtls.serving(what, signer, Broker()))

    return serve


def _alert(number: int) -> Serve:
    return lambda bench, version: bench.listen(oddtls.alert_at_hello(number))


def _alert_cases() -> list[Case]:
    return [
        Case(
            f"alert-{name.replace('_', '-')}",
            f"the ClientHello is answered by alert {number}",
            f"tls.server_hello/{cause}",
            ANY,
            _alert(number),
        )
        for number, name, cause in ALERTS
    ]


def _old_versions() -> list[Case]:
    rows = (
        ("ssl3", "SSL 3", oddtls.SSL3),
        ("tls1.0", "TLS 1.0", oddtls.TLS10),
        ("tls1.1", "TLS 1.1", oddtls.TLS11),
    )
    return [
        Case(
            f"version-{name}",
            f"speaks {title} and nothing newer",
            "tls.server_hello/protocol_version",
            ANY,
            odd(
                Odd((version, version), ("aes128", "3des"), ("sha",), ("rsa", "ecdhe_rsa")),
                "rsa-2048",
            ),
            needs=TLSLITE,
        )
        for name, title, version in rows
    ]


def _old_ciphers() -> list[Case]:
    rows = (("3des", "3DES", "3des"), ("rc4", "RC4", "rc4"), ("null", "no encryption", "null"))
    return [
        Case(
            f"cipher-{name}",
            f"offers {title} and nothing else",
            "tls.server_hello/no_shared_cipher",
            (TLS12,),
            odd(
                Odd((oddtls.TLS12, oddtls.TLS12), (cipher,), ("sha",), ("rsa", "ecdhe_rsa")),
                "rsa-2048",
            ),
            needs=TLSLITE,
        )
        for name, title, cipher in rows
    ]


def _cbc(bench: Bench, version: str) -> int:
    context = bench.context(version, ciphers="ECDHE-ECDSA-AES128-SHA256")
    return bench.tls(context, Broker())


def _no_common_cipher(bench: Bench, version: str) -> int:
    # a suite for RSA certificates, and a server that has none
    return bench.tls(bench.context(version, ciphers="ECDHE-RSA-AES128-GCM-SHA256"), Broker())


def _small_dh(bits: int) -> Serve:
    def serve(bench: Bench, version: str) -> int:
        from tlslite.mathtls import RFC2409_GROUP2

        made = bench.pki.once("server rsa-2048", lambda: bench.pki.server(Wish(key="rsa-2048")))
        group = RFC2409_GROUP2 if bits == 1024 else bench.pki.once("dh", _group_512)
        what = Odd(
            (oddtls.TLS12, oddtls.TLS12),
            ("aes128gcm",),
            exchanges=("dhe_rsa",),
            dh=(int(group[0]), int(group[1])),
        )
        return bench.listen(oddtls.serving(what, made, Broker()))

    return serve


def _group_512() -> tuple[int, int]:
    from tlslite.utils.cryptomath import getRandomPrime

    # a safe prime would take long, and this one protects nothing
    return 2, int(getRandomPrime(512))


def _warnings_for_ever(connection: socket.socket) -> None:
    connection.recv(16384)
    while True:
        connection.sendall(oddtls.alert_record(90, oddtls.WARNING))  # user_canceled
        time.sleep(0.05)


def _sni(bench: Bench, version: str) -> int:
    context = bench.context(version)

    def known(server: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:
        return None if name in (None, *bench.pki.names) else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = known
    return bench.tls(context, Broker())


def _raw(reply: bytes) -> Serve:
    return lambda bench, version: bench.listen(oddtls.raw(reply, end=ports.leave))


def _record(kind: int, body: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body


# stock firmware can set neither; a setting that it cannot follow is a wrong one
_CANNOT_SET = dict.fromkeys(("micropython", "circuitpython"), "identity/config_invalid")


def cases() -> list[Case]:
    """Faults of the step server_hello, and those of old and weak cryptography."""
    hello = "tls.server_hello"
    return [
        Case(
            "alpn-rejected",
            "speaks `mqtt` by ALPN: ask for another protocol",
            f"{hello}/alpn_rejected",
            (TLS12,),
            odd(Odd((oddtls.TLS12, oddtls.TLS12), protocols=("mqtt",))),
            _CANNOT_SET,
            {"alpn": "firmshake"},
            needs=TLSLITE,
        ),
        Case(
            "sni-rejected",
            "knows its own names: ask for another one by SNI",
            f"{hello}/sni_rejected",
            BOTH,
            _sni,
            _CANNOT_SET,
            {"sni": "unknown.example"},
        ),
        *_alert_cases(),
        *_old_versions(),
        *_old_ciphers(),
        Case(
            "cipher-none-shared",
            "has suites for RSA alone, and an EC certificate",
            f"{hello}/no_shared_cipher",
            (TLS12,),
            _no_common_cipher,
        ),
        Case(
            "cipher-cbc",
            "offers AES-CBC and nothing else: old, and still spoken",
            "ready",
            (TLS12,),
            _cbc,
        ),
        Case(
            "dh-1024",
            "Diffie-Hellman over 1024 bits: boards offer none, MicroPython's computer build any",
            "tls.server_certificate/weak_key",
            (TLS12,),
            _small_dh(1024),
            {"micropython": "ready", "circuitpython": f"{hello}/no_shared_cipher"},
            needs=TLSLITE,
        ),
        Case(
            "dh-512",
            "Diffie-Hellman over 512 bits",
            "tls.server_certificate/weak_key",
            (TLS12,),
            _small_dh(512),
            {"circuitpython": f"{hello}/no_shared_cipher"},
            needs=TLSLITE,
        ),
        Case(
            "warnings-for-ever",
            "answers by warning alerts without end",
            f"{hello}/timeout",
            ANY,
            lambda b, v: b.listen(_warnings_for_ever),
            {"cpython": f"{hello}/protocol_error"},
        ),
        Case(
            "hello-broken",
            "a ServerHello whose inside is random",
            f"{hello}/protocol_error",
            ANY,
            _raw(_record(22, b"\x02\x00\x00\x46" + b"\xa5" * 70)),
        ),
        Case(
            "hello-wrong-message",
            "a Finished instead of a ServerHello",
            f"{hello}/protocol_error",
            ANY,
            _raw(_record(22, b"\x14\x00\x00\x0c" + b"\xa5" * 12)),
        ),
        Case(
            "hello-wrong-record",
            "application data instead of a ServerHello",
            f"{hello}/protocol_error",
            ANY,
            _raw(_record(23, b"\xa5" * 64)),
        ),
        Case(
            "record-too-long",
            "a record longer than TLS allows",
            f"{hello}/protocol_error",
            ANY,
            _raw(b"\x16\x03\x03\xff\xff" + b"\xa5" * 4096),
        ),
    ]
