"""mbedTLS's errors in the agent's words, and what is made of its one number for all refusals."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest
from support import handshake, pki

from firmshake_agent import der, mbedtls, refusal, x509

QUIET = SimpleNamespace(late=False, errno=0, ended=False)

FLEET = handshake.fleet()
ANCHOR = x509.Certificate(FLEET.device.anchors_der())
LEAF, ISSUING = (x509.Certificate(part) for part in der.split(FLEET.broker.chain_der()))
STRANGER = x509.Certificate(der.split(pki.fleet("stranger").broker.chain_der())[0])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("The certificate validity has expired"), ("expired",)),
        (
            ValueError("The certificate validity starts in the future\nnot correctly signed by"),
            ("not_yet_valid", "unknown_ca"),
        ),
        (OSError(-0x2700), ("unverified",)),
        (
            OSError(
                -0x2700,
                "X509 - failed; The certificate Common Name (CN) does not match with"
                " the expected CN",
            ),
            ("hostname_mismatch", "unverified"),
        ),
        (
            OSError(-0x2700, "; Usage does not match the extendedKeyUsage extension"),
            ("wrong_usage", "unverified"),
        ),
        (OSError(-0x2180), ("malformed",)),
        (OSError(-0x7780), ("alert",)),
        (OSError(errno.ENOMEM), ("memory",)),
        (OSError(-0x7F00), ("memory",)),
        (OSError(141), ("memory",)),
        (MemoryError(), ("memory",)),
        (OSError(), ()),
        (OSError("a text alone"), ()),
    ],
)
def test_errors_in_words(error: Exception, words: tuple[str, ...]) -> None:
    assert mbedtls.words(error, QUIET) == words


def test_what_the_tap_saw_comes_last() -> None:
    tap = SimpleNamespace(late=True, errno=104, ended=True)
    assert mbedtls.words(OSError(-0x7280), tap) == ("eof", "timeout", "reset", "eof")


@pytest.mark.parametrize(
    ("alert", "leaf", "top", "wanted", "cause"),
    [
        (48, LEAF, ISSUING, "localhost", "unknown_ca"),
        (42, LEAF, ISSUING, "other.example", "hostname_mismatch"),
        (42, STRANGER, STRANGER, "other.example", "unknown_ca"),
        (42, None, None, "other.example", "hostname_mismatch"),
        (43, LEAF, ISSUING, "localhost", "wrong_usage"),
        (46, LEAF, ISSUING, "localhost", "weak_key"),
        (-1, LEAF, ISSUING, "other.example", "hostname_mismatch"),
        (-1, LEAF, ISSUING, "localhost", "unknown_ca"),
        (-1, STRANGER, STRANGER, "other.example", "unknown_ca"),
        (-1, None, None, "other.example", "unknown_ca"),
        (80, LEAF, ISSUING, "localhost", "unknown_ca"),
    ],
)
def test_the_cause_behind_the_one_number(
    alert: int,
    leaf: x509.Certificate | None,
    top: x509.Certificate | None,
    wanted: str,
    cause: str,
) -> None:
    assert refusal.cause(alert, leaf, top, [ANCHOR, None], wanted) == cause


def test_a_short_rsa_key_is_weak_and_no_wrong_usage() -> None:
    weak = x509.Certificate(FLEET.device.anchors_der())
    weak.key = b"\x30" + bytes(139)
    assert refusal.cause(43, weak, weak, [ANCHOR], "localhost") == "weak_key"
    weak.key = b"\x30" + bytes(269)
    assert refusal.cause(43, weak, weak, [ANCHOR], "localhost") == "wrong_usage"


@pytest.mark.parametrize(
    ("names", "wanted", "is_for"),
    [
        (["broker.example.com"], "broker.example.com", True),
        (["Broker.Example.com"], "broker.EXAMPLE.com", True),
        (["broker.example.com"], "example.com", False),
        (["*.example.com"], "broker.example.com", True),
        (["*.example.com"], "a.broker.example.com", False),
        (["*.example.com"], "example.com", False),
        (["*"], "localhost", False),
        (["*.0.0.1"], "127.0.0.1", False),
        (["b*.example.com"], "broker.example.com", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
        (["2001:0db8:0000:0000:0000:0000:0000:0001"], "2001:db8::1", None),
        ([], "localhost", False),
    ],
)
def test_which_names_a_certificate_is_for(
    names: list[str], wanted: str, is_for: bool | None
) -> None:
    made = x509.Certificate(FLEET.device.anchors_der())
    made.names, made.name_count = names, len(names)
    assert refusal.matches(made, wanted) is is_for


def test_names_that_were_not_kept_leave_it_open() -> None:
    made = x509.Certificate(FLEET.device.anchors_der())
    made.names, made.name_count = ["a.example"], 1000
    assert refusal.matches(made, "a.example") is True
    assert refusal.matches(made, "b.example") is None
