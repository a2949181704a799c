"""What a server answers to a hello, read from real first flights and from anything else."""

from __future__ import annotations

import contextlib
import os
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import handshake

from firmshake.serverview import firmwares, names, suites
from firmshake.serverview.answer import Answer, Reader
from firmshake.serverview.hello import Offer, client_hello

P256 = bytes([4]) + bytes.fromhex(
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)  # the generator of P-256 (SEC 2, 2.4.2): any point on it will do


def first_flight(version: str, clients: bool = False, offer: Offer | None = None) -> bytes:
    """What OpenSSL says to our hello."""
    number = {"1.2": 0x0303, "1.3": 0x0304}[version]
    some = suites.TLS13 if version == "1.3" else suites.TLS12
    hello = client_hello(offer or Offer(number, some, name="localhost"), os.urandom(32), P256)
    made = handshake.server_context(version, clients=handshake.fleet() if clients else None)
    inbox, outbox = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = made.wrap_bio(inbox, outbox, server_side=True)
    inbox.write(hello)
    with contextlib.suppress(ssl.SSLError):
        serving.do_handshake()
    return outbox.read()


def read(data: bytes, size: int = 1 << 20) -> Answer:
    reader = Reader()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    return reader.answer


def test_a_first_flight_of_tls_1_2_tells_all() -> None:
    found = read(first_flight("1.2", clients=True))
    fleet = handshake.fleet()
    assert (found.version, found.alert, found.is_tls) == (0x0303, None, True)
    assert suites.name(found.suite) == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert b"".join(found.certificates) == fleet.broker.chain_der()
    assert found.asks
    assert found.group in firmwares.GROUPS


def test_the_cas_that_a_server_takes_clients_from_are_read() -> None:
    # Python's servers list none: spliced into the flight of one
    name = handshake.fleet().authority.root.subject.public_bytes()
    listed = struct.pack("!HH", len(name) + 2, len(name)) + name
    body = b"\x01\x40" + b"\x00\x02\x04\x03" + listed
    message = b"\x0d" + len(body).to_bytes(3, "big") + body
    record = b"\x16\x03\x03" + struct.pack("!H", len(message)) + message
    flight = first_flight("1.2")
    end = 5 + int.from_bytes(flight[3:5], "big")
    found = read(flight[:end] + record + flight[end:])
    assert found.authorities == (name,)
    assert names.of_der(name).startswith("test root CA")


@given(st.binary(max_size=80))
def test_a_name_of_a_ca_is_text_whatever_it_is(data: bytes) -> None:
    assert isinstance(names.of_der(data), str)


def test_without_a_request_for_the_clients_certificate_there_is_none() -> None:
    assert not read(first_flight("1.2")).asks


def test_under_tls_1_3_the_server_hello_is_all() -> None:
    found = read(first_flight("1.3", clients=True))
    assert (found.version, found.group) == (0x0304, 0x0017)
    assert found.suite in suites.TLS13
    assert found.certificates == ()


def test_a_version_or_suite_that_is_not_taken_is_an_alert() -> None:
    assert read(first_flight("1.2", offer=Offer(0x0302, suites.TLS12))).alert == 70
    assert read(first_flight("1.2", offer=Offer(0x0303, (0x0005,)))).alert == 40


FLIGHTS = {version: first_flight(version, clients=True) for version in ("1.2", "1.3")}


@given(st.sampled_from(sorted(FLIGHTS)), st.integers(1, 70))
def test_however_it_is_cut_the_answer_is_the_same(version: str, size: int) -> None:
    assert read(FLIGHTS[version], size) == read(FLIGHTS[version])


@given(st.sampled_from(sorted(FLIGHTS)), st.data())
def test_spoilt_bytes_are_never_an_exception(version: str, data: st.DataObject) -> None:
    flight = bytearray(FLIGHTS[version])
    for _ in range(3):
        flight[data.draw(st.integers(0, len(flight) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(flight))


@given(st.binary(max_size=600), st.integers(1, 600))
def test_any_bytes_are_taken(data: bytes, size: int) -> None:
    read(data, size)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_messages_in_whole_records_are_taken(bodies: list[bytes]) -> None:
    read(b"".join(b"\x16\x03\x03" + struct.pack("!H", len(body)) + body for body in bodies))


def test_no_more_is_held_than_a_chain_of_any_sense() -> None:
    reader = Reader()
    body = b"\x0b\x03\xff\xff" + bytes(16000)
    record = b"\x16\x03\x03" + struct.pack("!H", len(body)) + body
    for _ in range(100):
        reader.feed(record)
    assert reader.done
    assert len(reader._messages) + len(reader._records) < 300_000


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"\x20\x02\x00\x01x"]
)
def test_what_is_not_tls_is_told_by_its_first_bytes(said: bytes) -> None:
    found = read(said)
    assert not found.is_tls
    assert said.startswith(found.first)


def test_a_warning_goes_by_and_a_fatal_alert_ends_it() -> None:
    warning, fatal = b"\x15\x03\x03\x00\x02\x01\x70", b"\x15\x03\x03\x00\x02\x02\x28"
    assert read(warning).alert is None
    assert read(warning + fatal).alert == 40


def test_an_address_is_never_sent_as_a_name() -> None:
    def sent(name: str) -> bytes:
        return client_hello(Offer(0x0303, (0xC02B,), name=name), bytes(32), P256)

    assert b"broker.lab" in sent("broker.lab")
    assert sent("10.0.0.1") == sent("::1") == sent("")


def test_the_record_is_as_long_as_it_says() -> None:
    data = client_hello(Offer(0x0304, suites.TLS13), bytes(32), P256)
    assert int.from_bytes(data[3:5], "big") == len(data) - 5
    assert int.from_bytes(data[6:9], "big") == len(data) - 9
