"""The faults of the server's certificate, and good ones that clients have trouble with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmshake.faults import oddtls, signers, tls
from firmshake.faults.bench import Bench
from firmshake.faults.case import BOTH, TLS12, TLS13, TLSLITE, Case, Serve
from firmshake.faults.mqtt import Broker
from firmshake.faults.oddtls import Odd
from firmshake.faults.pki import Wish
from firmshake.faults.signers import Make, wished

# OpenSSL would sign by PSS, which MicroPython offers where it can do TLS 1.3, and refuses in 1.2
_RSA = Odd((oddtls.TLS12, oddtls.TLS12), exchanges=("ecdhe_rsa",))

_STEP = "tls.server_certificate"
_READY = "ready"
_WRONG = "wrong.example"
_NAMELESS: dict[str, Any] = {"common_name": None, "organisation": "firmshake"}


def shown(name: str, make: Make) -> Serve:
    """A broker with the certificate that `make` makes, once for both versions."""

    def serve(bench: Bench, version: str) -> int:
        signer = bench.pki.once(name, lambda: make(bench.pki))
        if version == TLS12 and isinstance(signer.key, rsa.RSAPrivateKey):
            return bench.listen(oddtls.serving(_RSA, signer, Broker()))
        return bench.tls(bench.context(version, signer), Broker())

    return serve


def case(
    name: str,
    what: str,
    verdict: str,
    make: Make,
    unless: Mapping[str, str] | None = None,
    slow_s: int = 0,
) -> Case:
    """A case of a certificate under both versions."""
    needs = TLSLITE if name.startswith("rsa") else ""  # see _RSA
    return Case(
        name, what, verdict, BOTH, shown(name, make), unless or {}, slow_s=slow_s, needs=needs
    )


def _spoiled(spoil: Callable[[bytearray], bytearray]) -> Serve:
    def serve(bench: Bench, version: str) -> int:
        minor = oddtls.TLS13 if version == TLS13 else oddtls.TLS12
        what = Odd((minor, minor), spoil=spoil)
        return bench.listen(oddtls.serving(what, bench.pki.good(), Broker()))

    return serve


def _truncated(der: bytearray) -> bytearray:
    return der[: len(der) // 2]


def _junk(der: bytearray) -> bytearray:
    return bytearray(b"\xa5" * len(der))


def _signing_by_pss(bench: Bench, version: str) -> int:
    signer = bench.pki.once("rsa-2048", lambda: bench.pki.server(Wish(key="rsa-2048")))
    return bench.tls(bench.context(version, signer), Broker())


def _split(bench: Bench, version: str) -> int:
    return bench.tls(bench.context(version), Broker(), tls.split(256))


def _malformed_cases() -> list[Case]:
    rows = (("truncated", "is cut in half", _truncated), ("junk", "is no certificate", _junk))
    return [
        Case(
            f"certificate-{name}",
            f"what the server sends {what}",
            f"{_STEP}/malformed",
            BOTH,
            _spoiled(spoil),
            needs=TLSLITE,
        )
        for name, what, spoil in rows
    ]


def _wrong_cases() -> list[Case]:
    rows: list[tuple[str, str, str, Make]] = [
        ("expired", "expired", "expired yesterday", wished(days=(-90, -1))),
        ("not-yet-valid", "not_yet_valid", "valid from tomorrow on", wished(days=(1, 90))),
        (
            "intermediate-expired",
            "expired",
            "an intermediate expired yesterday",
            signers.expired_above,
        ),
        (
            "wrong-host",
            "hostname_mismatch",
            "for another name",
            wished(common_name=_WRONG, names=(_WRONG,)),
        ),
        ("self-signed", "self_signed", "signed by itself", signers.self_signed),
        (
            "untrusted-root",
            "unknown_ca",
            "of an unknown CA, whose root is sent too",
            signers.of_another_ca("untrusted root CA", with_root=True),
        ),
        (
            "interception",
            "unknown_ca",
            "of a proxy that shows the right name",
            signers.of_another_ca("intercepting proxy", with_root=False),
        ),
        (
            "same-name-ca",
            "unknown_ca",
            "of another CA with the name of the right one",
            signers.same_name,
        ),
        (
            "incomplete-chain",
            "incomplete_chain",
            "the intermediate is missing, which the client carries too",
            signers.incomplete,
        ),
        (
            "unknown-intermediate",
            "unknown_ca",
            "an intermediate is missing that the client never saw",
            signers.foreign_intermediate_missing,
        ),
        (
            "wrong-usage",
            "wrong_usage",
            "made for clients",
            wished(usage=ExtendedKeyUsageOID.CLIENT_AUTH),
        ),
        ("rsa-1024", "weak_key", "an RSA key of 1024 bits", wished(key="rsa-1024")),
        ("sha1", "weak_key", "signed with SHA-1", signers.by_sha1),
        (
            "san-10000",
            "too_large",
            "10000 alternative names: a message far above 16 KB",
            signers.with_names(10000),
        ),
    ]
    return [
        *(case(name, what, f"{_STEP}/{cause}", make) for name, cause, what, make in rows),
        case(
            "no-alternative-names",
            "its name stands in the subject alone, where MicroPython looks too",
            f"{_STEP}/hostname_mismatch",
            signers.without_alternative_names,
            {"micropython": "ready"},
        ),
    ]


def _fine_cases() -> list[Case]:
    rows: list[tuple[str, str, Make, int]] = [
        ("revoked", "revoked; no client knows that without a CRL", wished(), 0),
        ("chain-with-root", "the root is sent too", signers.with_root, 0),
        ("chain-deep", "two intermediates", signers.deep, 0),
        ("chain-16k", "a chain that fills a record of 16 KB", signers.filling(16384), 0),
        ("no-common-name", "a subject without a common name", wished(**_NAMELESS), 0),
        ("no-subject", "an empty subject", wished(common_name=None), 0),
        ("ec-p256", "an EC key on P-256", wished(), 0),
        ("ec-p384", "an EC key on P-384", wished(key="ec-p384"), 0),
        ("ec-p521", "an EC key on P-521", wished(key="ec-p521"), 0),
        ("rsa-2048", "an RSA key of 2048 bits", wished(key="rsa-2048"), 0),
        ("rsa-3072", "an RSA key of 3072 bits", wished(key="rsa-3072"), 1),
        ("rsa-4096", "an RSA key of 4096 bits", wished(key="rsa-4096"), 2),
        ("rsa-8192", "an RSA key of 8192 bits", wished(key="rsa-8192"), 40),
        ("rsa-4096-chain", "leaf and two CAs of RSA 4096", signers.rsa_chain, 6),
        ("san-1000", "1000 alternative names", signers.with_names(1000), 0),
    ]
    return [
        *(case(name, what, _READY, make, slow_s=slow) for name, what, make, slow in rows),
        case(
            "chain-reversed",
            "two intermediates in the wrong order, which MicroPython does not sort",
            _READY,
            signers.in_wrong_order,
            {"micropython": f"{_STEP}/unknown_ca"},
        ),
        case(
            "ed25519",
            "an Ed25519 key, which MicroPython cannot verify",
            _READY,
            wished(key="ed25519"),
            {"micropython": "tls.server_hello/no_shared_cipher"},
        ),
        Case(
            "rsa-2048-pss",
            "signs by RSA-PSS under TLS 1.2, as OpenSSL does for who offers it",
            _READY,
            (TLS12,),
            _signing_by_pss,
            {"micropython": f"{_STEP}/protocol_error"},
        ),
        Case("fragments-256", "messages in records of 256 bytes", _READY, (TLS12,), _split),
    ]


def cases() -> list[Case]:
    """Faults of the step server_certificate, and certificates that are merely unusual."""
    return [*_wrong_cases(), *_malformed_cases(), *_fine_cases()]
