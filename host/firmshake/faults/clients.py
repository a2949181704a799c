"""The faults of a server that refuses the client's certificate."""

from __future__ import annotations

import socket

from firmshake.faults import oddtls, pki, ports
from firmshake.faults.bench import Bench
from firmshake.faults.case import BOTH, MOSQUITTO, TLS12, TLS13, TLSLITE, Case, Serve
from firmshake.faults.mqtt import Broker
from firmshake.faults.oddtls import Odd
from firmshake.faults.pki import Signer, Wish
from firmshake.faults.tls import TlsStream

_STEP = "tls.client_certificate"

# the number is encrypted under TLS 1.3, and MicroPython does not pass it on
_HIDDEN = {"micropython 1.3": f"{_STEP}/rejected"}

_INTERNAL = 80

# AlertDescription once the client has shown its certificate
ALERTS: tuple[tuple[int, str, str], ...] = (
    (40, "handshake_failure", "rejected"),
    (42, "bad_certificate", "rejected"),
    (43, "unsupported_certificate", "unsupported"),
    (44, "certificate_revoked", "revoked"),
    (45, "certificate_expired", "expired"),
    (46, "certificate_unknown", "rejected"),
    (48, "unknown_ca", "unknown_ca"),
    (49, "access_denied", "access_denied"),
    (51, "decrypt_error", "key_mismatch"),
    (80, "internal_error", "protocol_error"),
)


def _alert(number: int) -> Serve:
    def serve(bench: Bench, version: str) -> int:
        if version == TLS13:
            what = Odd((oddtls.TLS13, oddtls.TLS13), alert=number)
            return bench.listen(oddtls.serving(what, bench.pki.good(), Broker()))
        return bench.listen(_alert_in_clear(bench, number, reset=False))

    return serve


def _alert_in_clear(bench: Bench, number: int, *, reset: bool) -> ports.Handler:
    """OpenSSL's first flight, and an alert as soon as the client's Certificate comes."""
    context = bench.context(TLS12)

    def handle(connection: socket.socket) -> None:
        TlsStream(connection, context).hello()
        connection.recv(64 if reset else 16384)
        connection.sendall(oddtls.alert_record(number))
        (ports.reset if reset else ports.leave)(connection)

    return handle


def _of_other_ca(bench: Bench) -> bytes:
    return bench.pki.once("other clients", lambda: bench.pki.authority(Wish())).chain_pem()


def _expired_root(bench: Bench) -> bytes:
    """The client's own root, as this broker has it: its copy ran out."""
    root = bench.pki.root

    def make() -> Signer:
        subject = root.certificate.subject.rfc4514_string().removeprefix("CN=")
        wish = Wish(common_name=subject, days=(-400, -1), is_ca=True)
        return bench.pki.signed_by(wish, root)

    return bench.pki.once("expired root", make).chain_pem()


def _crl(bench: Bench) -> bytes:
    revoked = [bench.pki.client.certificate]
    return bench.pki.once("crl", lambda: pki.crl(bench.pki.issuing, revoked, bench.pki.now))


_UNSAID = "tls.finished/protocol_error"


def cases() -> list[Case]:
    """Faults of the step client_certificate."""
    alerts = [
        Case(
            f"client-alert-{number}",
            f"the client's certificate is refused by alert {number}, {name}",
            f"{_STEP}/{cause}",
            BOTH,
            _alert(number),
            # it does not say that it is about the certificate
            _HIDDEN | (dict.fromkeys(BOTH, _UNSAID) if number == _INTERNAL else {}),
            needs=TLSLITE,
        )
        for number, name, cause in ALERTS
    ]
    return [
        Case(
            "client-missing",
            "a client certificate is wanted: connect without one",
            f"{_STEP}/missing",
            BOTH,
            lambda bench, version: bench.tls(bench.context(version), Broker()),
            client="none",
        ),
        Case(
            "client-missing-mosquitto",
            "the same by mosquitto",
            f"{_STEP}/missing",
            BOTH,
            lambda bench, version: bench.mosquitto(version),
            client="none",
            needs=MOSQUITTO,
        ),
        Case(
            "client-not-wanted",
            "no client certificate is asked for",
            "ready",
            BOTH,
            lambda bench, version: bench.tls(bench.context(version, clients=b""), Broker()),
        ),
        Case(
            "client-unknown-ca",
            "mosquitto trusts the clients of another CA",
            f"{_STEP}/unknown_ca",
            BOTH,
            lambda bench, version: bench.mosquitto(version, clients=_of_other_ca(bench)),
            _HIDDEN,
            needs=MOSQUITTO,
        ),
        Case(
            "client-expired",
            "the CA's certificate ran out in the broker's copy",
            f"{_STEP}/expired",
            BOTH,
            lambda bench, version: bench.tls(
                bench.context(version, clients=_expired_root(bench)), Broker()
            ),
            _HIDDEN,
        ),
        Case(
            "client-revoked",
            "mosquitto has the client on its revocation list",
            f"{_STEP}/revoked",
            BOTH,
            lambda bench, version: bench.mosquitto(version, crl=_crl(bench)),
            _HIDDEN,
            needs=MOSQUITTO,
        ),
        Case(
            "client-refused-and-reset",
            "alert 48 while the client still writes, and a reset behind it",
            f"{_STEP}/unknown_ca",
            (TLS12,),
            lambda bench, version: bench.listen(_alert_in_clear(bench, 48, reset=True)),
        ),
        *alerts,
    ]
