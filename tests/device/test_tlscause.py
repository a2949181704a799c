"""From a handshake's record to its verdict: real handshakes that fail, and every record at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import handshake, pki
from support.handshake import Piece, observe

from firmshake_agent import causes, tlscause
from firmshake_agent.failure import verdict
from firmshake_agent.observer import Observer

WORDS = [
    *tlscause.VERIFY,
    "memory",
    "alert",
    "version",
    "malformed",
    "not_tls",
    "bad_record",
    "timeout",
    "reset",
    "eof",
]


def alert(description: int, level: int = 2) -> Piece:
    return True, bytes([21, 3, 3, 0, 2, level, description])


def mutual(version: str) -> tuple[Piece, ...]:
    fleet = handshake.fleet()
    server = handshake.server_context(version, clients=fleet)
    pair = handshake.shake(server, handshake.client_context(shows=fleet))
    assert pair.both_finished()
    return pair.pieces


# A server's word at each moment of a handshake under TLS 1.2: after our hello, after its own
# flight, after ours. The alerts that are not listed mean the same wherever they come.


@pytest.mark.parametrize(
    ("description", "cause"),
    [
        (40, "tls.server_hello/no_shared_cipher"),
        (70, "tls.server_hello/protocol_version"),
        (80, "tls.server_hello/server_error"),
        (112, "tls.server_hello/sni_rejected"),
        (120, "tls.server_hello/alpn_rejected"),
    ],
)
def test_an_alert_instead_of_a_server_hello(description: int, cause: str) -> None:
    seen = observe((*mutual("1.2")[:1], alert(description)))
    assert said(seen, ("eof",)) == cause


@pytest.mark.parametrize(
    ("description", "cause"),
    [
        (20, "tls.finished/bad_record"),
        (40, "tls.client_certificate/rejected"),
        (42, "tls.client_certificate/rejected"),
        (44, "tls.client_certificate/revoked"),
        (45, "tls.client_certificate/expired"),
        (48, "tls.client_certificate/unknown_ca"),
        (49, "tls.client_certificate/access_denied"),
        (51, "tls.client_certificate/key_mismatch"),
        (116, "tls.client_certificate/missing"),
    ],
)
def test_an_alert_after_the_boards_certificate(description: int, cause: str) -> None:
    seen = observe((*mutual("1.2")[:3], alert(description)))
    assert said(seen, ("eof",)) == cause


def test_an_alert_after_an_empty_certificate() -> None:
    server = handshake.server_context("1.2", clients=handshake.fleet())
    pair = handshake.shake(server, handshake.client_context())
    assert said(pair.observed(), ("alert",)) == "tls.client_certificate/missing"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_warning_before_the_servers_hello_is_not_the_cause(version: str) -> None:
    pair = handshake.shake(
        handshake.server_context(version), handshake.client_context(), name="other.example"
    )
    pieces = (pair.pieces[0], alert(112, level=1), *pair.pieces[1:])
    verdict = said(observe(pieces), ("hostname_mismatch",))
    assert verdict == "tls.server_certificate/hostname_mismatch"


@pytest.mark.parametrize(
    ("description", "cause"),
    [(40, "no_shared_cipher"), (47, "server_error"), (80, "server_error")],
)
def test_a_readable_alert_under_tls_1_3_is_about_the_hellos(description: int, cause: str) -> None:
    """It comes before there are keys: after a HelloRetryRequest, whose second hello displeased."""
    server = handshake.server_context("1.3")
    server.set_ecdh_curve("secp384r1")
    pieces = handshake.shake(server, handshake.client_context()).pieces
    assert observe(pieces[:3]).messages.count((False, 1)) == 2, "the board has asked twice"
    assert said(observe((*pieces[:3], alert(description))), ("alert",)) == (
        f"tls.server_hello/{cause}"
    )
    assert said(observe(pieces[:3]), ("eof",)) == "tls.server_hello/closed"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("word", ["eof", "reset", "timeout"])
def test_an_end_is_named_for_the_step_that_was_under_way(version: str, word: str) -> None:
    pieces = mutual(version)
    ending = {"eof": "closed"}.get(word, word)
    steps = [said(observe(pieces[:count]), (word,)) for count in range(len(pieces) + 1)]
    wanted = {
        "1.2": ["client_hello", "client_hello", "client_certificate", "finished", "finished"],
        "1.3": ["client_hello", "client_hello", "server_certificate"] + ["client_certificate"] * 2,
    }[version]
    assert steps == [f"tls.{step}/{ending}" for step in wanted]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_out_of_memory_is_never_reported_as_anything_else(version: str) -> None:
    """MicroPython says of it that the certificate is not correctly signed."""
    for count in range(5):
        seen = observe((*mutual(version)[:count], alert(48)))
        assert said(seen, ("unknown_ca", "memory", "eof")).endswith("/out_of_memory")


def test_of_two_faults_the_graver_one_is_named() -> None:
    """The dates and names of a certificate of an unknown CA prove nothing."""
    seen = observe(mutual("1.2")[:2])
    assert said(seen, ("expired", "unknown_ca")) == "tls.server_certificate/unknown_ca"
    assert said(seen, ("expired",)) == "tls.server_certificate/expired"


@given(
    st.sampled_from(["1.2", "1.3", ""]),
    st.integers(0, 5),
    st.one_of(st.none(), st.tuples(st.integers(0, 255), st.integers(1, 2))),
    st.lists(st.one_of(st.sampled_from(WORDS), st.integers(0, 255).map("alert:{}".format))),
    st.booleans(),
)
def test_every_verdict_has_its_why_and_fix(
    version: str,
    count: int,
    word: tuple[int, int] | None,
    words: list[str],
    shows: bool,
) -> None:
    pieces = mutual(version)[:count] if version else ()
    seen = observe((*pieces, alert(*word)) if word else pieces)
    assert causes.lookup(said(seen, tuple(words), shows)) is not None


@given(st.binary(max_size=40), st.lists(st.sampled_from(WORDS)), st.booleans())
def test_whatever_a_server_sends_there_is_a_verdict(
    data: bytes, words: list[str], shows: bool
) -> None:
    seen = observe((*mutual("1.2")[:1], (True, data)))
    assert causes.lookup(said(seen, tuple(words), shows)) is not None


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"HTTP/1.0 400 Bad Request\r\n", "not_tls_http"),
        (b"<html>", "not_tls_http"),
        (b"\x20\x02\x00\x05", "not_tls_mqtt"),
        (b"SSH-2.0-", "not_tls"),
        (b"\x00", "not_tls"),
        (b"", "closed"),
    ],
)
def test_what_answers_without_tls_is_told_by_its_first_bytes(data: bytes, cause: str) -> None:
    for size in (1, 3, 99):
        seen = Observer()
        for at in range(0, len(data), size):
            seen.received(data[at : at + size])
        assert said(seen, ("not_tls", "eof")) == f"tls.client_hello/{cause}"


def test_evidence_without_any_certificate_names_what_the_board_trusts() -> None:
    anchor = tlscause.x509.Certificate(pki.fleet().files()["ca.der"])
    assert tlscause.describe(None, None, [anchor]) == {"trusts": anchor.subject}


def said(seen: Observer, words: tuple[str, ...], shows: bool = True) -> str:
    return verdict("tls", *tlscause.judge(seen, words, shows))
