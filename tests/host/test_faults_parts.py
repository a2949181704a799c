"""The parts of the faults: MQTT packets, TLS records cut, certificates that are wrong."""

from __future__ import annotations

import socket

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from firmshake.faults import mqtt, pki, ports, signers, tls, websocket
from firmshake.faults.mqtt import Broker


class Wire:
    """A stream that gives what it was made of, cut as told, and keeps what is said."""

    def __init__(self, data: bytes, sizes: list[int] | None = None) -> None:
        self._data = data
        self._sizes = sizes or []
        self.said = b""

    def recv(self, size: int) -> bytes:
        take = min(size, self._sizes.pop(0) if self._sizes else size)
        data, self._data = self._data[:take], self._data[take:]
        return data

    def sendall(self, data: bytes) -> None:
        self.said += data


def spoken(broker: Broker, *packets: bytes) -> bytes:
    """What the broker says to a client that says these packets, and leaves."""
    wire = Wire(b"".join(packets))
    broker(wire)
    return wire.said


CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"
CONNECT_5 = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01x"
SUBSCRIBE = b"\x82\x0c\x00\x07\x00\x01a\x00\x00\x03b/c\x01"
PUBLISH = b"\x30\x04\x00\x01ax"
PUBLISH_1 = b"\x32\x06\x00\x01a\x00\x09x"


def test_the_broker_grants_every_filter_and_echoes() -> None:
    said = spoken(Broker(), CONNECT, SUBSCRIBE, PUBLISH, b"\xc0\x00", b"\xe0\x00", b"\xc0\x00")
    assert said == b"\x20\x02\x00\x00" + b"\x90\x04\x00\x07\x00\x00" + PUBLISH + b"\xd0\x00"


def test_a_publish_of_qos_1_is_acknowledged_and_echoed_by_qos_0() -> None:
    said = spoken(Broker(), CONNECT, PUBLISH_1)
    assert said == b"\x20\x02\x00\x00" + b"\x40\x02\x00\x09" + PUBLISH
    assert spoken(Broker(acknowledges=False), PUBLISH_1) == PUBLISH
    assert spoken(Broker(echo=False), PUBLISH_1) == b"\x40\x02\x00\x09"


def test_a_reason_is_told_in_the_words_of_the_version_that_asks() -> None:
    assert spoken(Broker(code=0x8A), CONNECT) == b"\x20\x02\x00\x8a"
    assert spoken(Broker(code=0x8A), CONNECT_5) == b"\x20\x03\x00\x8a\x00"
    assert spoken(Broker(code=0x8A, only_to_5=True), CONNECT, PUBLISH) == b""
    assert spoken(Broker(code=0x8A, only_to_5=True), CONNECT_5) == b"\x20\x03\x00\x8a\x00"


def test_from_the_silent_packet_on_nothing_is_said() -> None:
    said = spoken(Broker(silent_at=mqtt.SUBSCRIBE), CONNECT, SUBSCRIBE, PUBLISH)
    assert said == b"\x20\x02\x00\x00"


@given(st.binary(max_size=300), st.lists(st.integers(1, 5), max_size=50))
def test_the_broker_takes_any_bytes_cut_at_any_place(data: bytes, sizes: list[int]) -> None:
    Broker()(Wire(CONNECT + data, sizes))


@given(st.integers(0, 268_435_455))
def test_a_length_is_read_as_it_is_written(size: int) -> None:
    head = b"\x30" + mqtt._length(size)
    assert len(head) <= 5
    assert mqtt._body(head) == b""


@given(st.binary(max_size=300), st.lists(st.integers(1, 5), max_size=50))
def test_websocket_frames_take_any_bytes(data: bytes, sizes: list[int]) -> None:
    request = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: abc\r\n\r\n"
    wire = Wire(request + data, [len(request), *sizes])
    websocket.upgrade(Broker())(wire)
    assert wire.said.startswith(b"HTTP/1.1 101 ")


def test_an_upgrade_is_accepted_by_the_example_of_the_standard() -> None:
    wire = Wire(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    websocket.upgrade(mqtt.keep_silent)(wire)
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in wire.said


@given(st.binary(max_size=200))
def test_records_are_found_in_any_bytes(data: bytes) -> None:
    found = tls.records(data)
    assert [start for start, _ in found[1:]] == [end for _, end in found[:-1]]
    assert all(end <= len(data) for _, end in found)


def test_a_flight_that_is_an_alert_is_sent_whole_where_a_certificate_was_to_be_cut() -> None:
    alert = bytes([21, 3, 3, 0, 2, 2, 70])
    assert tls.in_certificate(alert) >= len(alert)
    flight = bytes([22, 3, 3, 0, 1, 2, 22, 3, 3, 0, 100]) + bytes(100)
    assert tls.in_certificate(flight) == 66, "the control"


# certificates


@pytest.fixture(scope="module")
def made() -> pki.Pki:
    return pki.Pki(["localhost", "127.0.0.1"])


@pytest.mark.parametrize("size", [2048, 9000, 16384])
def test_a_chain_fills_its_message_to_the_byte(made: pki.Pki, size: int) -> None:
    assert signers.message_size(signers.filling(size)(made)) == size


def test_sha1_signs_a_certificate_that_verifies_by_sha1(made: pki.Pki) -> None:
    certificate = signers.by_sha1(made).certificate
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA1)
    assert signers.by_sha1(made).chain == (made.issuing.certificate,)
    # the control: what it was made of
    assert isinstance(made.good().certificate.signature_hash_algorithm, hashes.SHA256)


def test_a_thousand_names_are_in_one_certificate(made: pki.Pki) -> None:
    certificate = signers.with_names(1000)(made).certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert len(list(names)) == 1002
    assert signers.message_size(signers.with_names(10000)(made)) > 1 << 17


def test_the_ca_of_the_same_name_has_another_key(made: pki.Pki) -> None:
    signer = signers.same_name(made)
    assert signer.certificate.issuer == made.root.certificate.subject
    with pytest.raises(InvalidSignature):
        signer.certificate.verify_directly_issued_by(made.root.certificate)


# over the wire


def test_a_shaped_stream_is_cut_at_its_byte() -> None:
    near, far = socket.socketpair()
    with near, far:
        write = tls.cut(1, tls.in_server_hello, lambda connection: None)(near)
        with pytest.raises(tls.Served):
            write(bytes(100))
        assert far.recv(200) == bytes(20)


def test_damage_is_one_bit_of_one_flight() -> None:
    near, far = socket.socketpair()
    with near, far:
        write = tls.damage(2, lambda data: 3)(near)
        write(b"first")
        write(b"second")
        assert far.recv(200) == b"first" + b"secnnd"


def test_a_connection_that_is_held_does_not_hold_up_the_end() -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"x")
        ports.hold(connection)

    found = ports.Ports("127.0.0.1")
    with socket.create_connection(("127.0.0.1", found.open(greet)), 60) as connection:
        assert connection.recv(1) == b"x"
        found.close()
        assert connection.recv(1) == b""
