"""PEM, which CircuitPython's TLS reads by itself, read by the agent too."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import handshake

from firmshake_agent import der

IDENTITY = handshake.fleet().device
CHAIN = IDENTITY.chain_pem()


def test_each_certificate_in_turn() -> None:
    assert der.unarmoured(CHAIN, b"CERTIFICATE") == IDENTITY.chain_der()
    assert len(der.split(der.unarmoured(CHAIN, b"CERTIFICATE"))) == 2


def test_der_stays_as_it_is() -> None:
    assert der.unarmoured(IDENTITY.chain_der(), b"CERTIFICATE") == IDENTITY.chain_der()


@pytest.mark.parametrize("ending", [b"\r\n", b"\n", b" \n"])
def test_what_stands_around_the_blocks_is_passed_over(ending: bytes) -> None:
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    data = (b"a comment\n" + parameters + CHAIN + b"the end").replace(b"\n", ending)
    assert der.unarmoured(data, b"CERTIFICATE") == IDENTITY.chain_der()


@pytest.mark.parametrize(
    "data",
    [
        b"-----BEGIN JUNK-----\n",
        b"-----BEGIN CERTIFICATE-----\nMII",
        b"-----BEGIN CERTIFICATE-----\nM\n-----END CERTIFICATE-----\n",
        CHAIN.replace(b"CERTIFICATE", b"OTHER"),
    ],
)
def test_a_block_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(der.BadDer):
        der.unarmoured(data, b"CERTIFICATE")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for each in (data, b"-----BEGIN CERTIFICATE-----\n" + data):
        with contextlib.suppress(der.BadDer):
            assert isinstance(der.unarmoured(each, b"CERTIFICATE"), bytes)
