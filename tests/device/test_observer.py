"""The TLS observer, between two real TLS cores and under bytes that nobody should send.

The control of every cut is the same handshake fed in the pieces in which it was sent.
"""

from __future__ import annotations

import functools
import pickle
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from hypothesis import given
from hypothesis import strategies as st
from support import handshake, pki
from support.handshake import Pair, Piece, observe

from firmshake_agent import observer as tls
from firmshake_agent import tlscause, x509
from firmshake_agent.observer import Observer, version_name

BOTH = pytest.mark.parametrize("version", ["1.2", "1.3"])
NUMBERS = {"1.2": 0x0303, "1.3": 0x0304}
C, S = False, True  # who sent it
CCS = 0
NEW_SESSION_TICKET = 4

# What goes by in the clear before a side encrypts (RFC 5246, 7.3; RFC 8446, 2 and appendix D.4)
HELLOS = [(C, tls.CLIENT_HELLO), (S, tls.SERVER_HELLO)]
OPENING = [*HELLOS, (S, tls.CERTIFICATE), (S, tls.SERVER_KEY_EXCHANGE)]
ASKED = [*OPENING, (S, tls.CERTIFICATE_REQUEST), (S, tls.SERVER_HELLO_DONE)]
SHOWN = [*ASKED, (C, tls.CERTIFICATE), (C, tls.CLIENT_KEY_EXCHANGE), (C, tls.CERTIFICATE_VERIFY)]
TICKET = [(S, NEW_SESSION_TICKET)]


# the handshakes, each done once


@functools.cache
def plain(version: str) -> Pair:
    return handshake.shake(handshake.server_context(version), handshake.client_context())


@functools.cache
def mutual(version: str) -> Pair:
    fleet = handshake.fleet()
    return handshake.shake(
        handshake.server_context(version, clients=fleet),
        handshake.client_context(shows=fleet),
        say=b"hello",
    )


@functools.cache
def without_tickets(version: str) -> Pair:
    server = handshake.server_context(version, clients=handshake.fleet())
    server.num_tickets = 0
    server.options |= ssl.OP_NO_TICKET
    return handshake.shake(server, handshake.client_context(shows=handshake.fleet()))


@functools.cache
def resumed(version: str) -> Pair:
    server, client = handshake.server_context(version), handshake.client_context()
    first = handshake.shake(server, client)
    return handshake.shake(server, client, session=first.client.session)


@functools.cache
def retried(version: str) -> Pair:
    """Under TLS 1.3 the server wants a group of which the client sent no share."""
    server = handshake.server_context(version)
    server.set_ecdh_curve("secp384r1")
    return handshake.shake(server, handshake.client_context())


@functools.cache
def with_rsa(version: str) -> Pair:
    """An RSA server whose certificate alone is larger than KEEP_CERTIFICATE."""
    pem, anchor = handshake.rsa_server(names=200)
    return handshake.shake(
        handshake.server_context(version, pem=pem), handshake.client_context(anchor)
    )


@functools.cache
def none_shown(version: str) -> Pair:
    server = handshake.server_context(version, clients=handshake.fleet())
    return handshake.shake(server, handshake.client_context())


@functools.cache
def stranger(version: str) -> Pair:
    server = handshake.server_context(version, clients=handshake.fleet())
    return handshake.shake(server, handshake.client_context(shows=pki.fleet("stranger")))


@functools.cache
def wrong_name(version: str) -> Pair:
    return handshake.shake(
        handshake.server_context(version), handshake.client_context(), name="other.example"
    )


@functools.cache
def other_version(version: str) -> Pair:
    client = handshake.client_context()
    other = "1.3" if version == "1.2" else "1.2"
    client.minimum_version = client.maximum_version = handshake.VERSIONS[other]
    return handshake.shake(handshake.server_context(version), client)


HANDSHAKES: tuple[Callable[[str], Pair], ...] = (
    plain,
    mutual,
    without_tickets,
    resumed,
    retried,
    with_rsa,
    none_shown,
    stranger,
    wrong_name,
    other_version,
)
EACH = pytest.mark.parametrize("made", HANDSHAKES, ids=lambda made: made.__name__)


def record(seen: Observer) -> dict[str, object]:
    """What an observer tells."""
    return {key: value for key, value in vars(seen).items() if not key.startswith("_")}


def number(cipher: str) -> int:
    """The cipher suite's number, as OpenSSL knows it."""
    known = {each["name"]: each["id"] for each in handshake.client_context().get_ciphers()}
    return int(known[cipher]) & 0xFFFF


# what is recorded at the end


@BOTH
@pytest.mark.parametrize(
    "made", [plain, mutual, without_tickets, resumed, retried, with_rsa], ids=lambda it: it.__name__
)
def test_version_cipher_and_bytes_are_those_of_the_cores(
    version: str, made: Callable[[str], Pair]
) -> None:
    pair = made(version)
    assert pair.both_finished()
    seen = pair.observed()
    cipher = pair.client.cipher()
    assert cipher is not None
    assert seen.version == NUMBERS[version]
    assert "TLSv" + str(version_name(seen.version)) == pair.client.version()
    assert seen.cipher == number(cipher[0])
    assert seen.bytes_in == sum(len(data) for from_server, data in pair.pieces if from_server)
    assert seen.bytes_out == sum(len(data) for from_server, data in pair.pieces if not from_server)
    assert seen.first == b"".join(data for from_server, data in pair.pieces if from_server)[:16]
    assert (seen.alert_in, seen.alert_out) == (-1, -1)


@pytest.mark.parametrize(
    ("made", "messages"),
    [
        (
            plain,
            [
                *OPENING,
                (S, tls.SERVER_HELLO_DONE),
                (C, tls.CLIENT_KEY_EXCHANGE),
                (C, CCS),
                *TICKET,
                (S, CCS),
            ],
        ),
        (mutual, [*SHOWN, (C, CCS), *TICKET, (S, CCS)]),
        (without_tickets, [*SHOWN, (C, CCS), (S, CCS)]),
        (resumed, [*HELLOS, (S, CCS), (C, CCS)]),
    ],
    ids=lambda it: getattr(it, "__name__", ""),
)
def test_under_tls_1_2_every_message_before_the_keys_is_seen(
    made: Callable[[str], Pair], messages: list[tuple[bool, int]]
) -> None:
    assert made("1.2").observed().messages == messages


@pytest.mark.parametrize("made", [plain, mutual, without_tickets, resumed, with_rsa])
def test_under_tls_1_3_only_the_hellos_are_readable(made: Callable[[str], Pair]) -> None:
    seen = made("1.3").observed()
    assert seen.messages == [*HELLOS, (S, CCS), (C, CCS)]
    assert (seen.shown, seen.asked_certificate, seen.certificate) == (-1, False, b"")


def test_a_hello_retry_request_is_followed_by_a_second_pair_of_hellos() -> None:
    seen = retried("1.3").observed()
    assert seen.messages == [*HELLOS, (S, CCS), (C, CCS), *HELLOS]
    assert seen.version == 0x0304


@BOTH
def test_the_boards_encrypted_records_are_counted(version: str) -> None:
    """One Finished, before it under TLS 1.3 certificate and signature, and one of data."""
    quiet, speaking = without_tickets(version).observed(), mutual(version).observed()
    assert quiet.encrypted_out == {"1.2": 1, "1.3": 3}[version]
    assert speaking.encrypted_out == quiet.encrypted_out + 1


def test_the_servers_records_after_the_boards_last_flight_are_sized() -> None:
    """TLS 1.2: Finished, 12 bytes with its head of 4, an explicit nonce of 8, and a tag of 16."""
    assert without_tickets("1.2").observed().after_flight == [40]
    assert without_tickets("1.3").observed().after_flight == []
    assert len(plain("1.3").observed().after_flight) == 2, "two session tickets"
    assert mutual("1.3").observed().after_flight == [], "the board has spoken since"
    assert none_shown("1.3").observed().after_flight == [tlscause.ENCRYPTED_ALERT]


def test_what_the_board_showed_is_measured() -> None:
    fleet = handshake.fleet()
    chain = [fleet.device.certificate, *fleet.device.chain]
    sizes = [len(der(each)) for each in chain]
    assert mutual("1.2").observed().shown == 3 + sum(3 + size for size in sizes)
    assert none_shown("1.2").observed().shown == 3, "an empty list"
    assert plain("1.2").observed().shown == -1, "nobody asked"


def der(certificate: Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def test_the_servers_chain_is_kept_where_it_is_wanted() -> None:
    fleet = handshake.fleet()
    wanted = mutual("1.2").observed(keep_certificate=True)
    assert tlscause.certificates(wanted.certificate) == [
        der(each) for each in (fleet.broker.certificate, *fleet.broker.chain)
    ]
    assert mutual("1.2").observed().certificate == b""


def test_of_a_certificate_message_that_is_too_large_the_beginning_is_kept() -> None:
    seen = with_rsa("1.2").observed(keep_certificate=True)
    assert len(seen.certificate) == tls.KEEP_CERTIFICATE
    assert tlscause.certificates(seen.certificate) == [], "the first one is not whole"
    assert seen.saw(S, tls.SERVER_HELLO_DONE), "what follows it is seen all the same"


def test_of_a_long_chain_the_whole_certificates_are_read() -> None:
    leaf = der(handshake.fleet().broker.certificate)
    long = leaf + bytes(tls.KEEP_CERTIFICATE)
    chain = b"".join(len(each).to_bytes(3, "big") + each for each in (leaf, long))
    seen = Observer(keep_certificate=True)
    for data in in_records(S, tls.CERTIFICATE, len(chain).to_bytes(3, "big") + chain):
        seen.received(data)
    assert tlscause.certificates(seen.certificate) == [leaf]
    assert x509.Certificate(tlscause.certificates(seen.certificate)[0]).subject == "127.0.0.1"


# alerts


@pytest.mark.parametrize(
    ("made", "version", "alert"),
    [
        (none_shown, "1.2", 40),
        (stranger, "1.2", 48),
        (other_version, "1.2", 70),
        (other_version, "1.3", 70),
    ],
)
def test_the_servers_alert_is_read(made: Callable[[str], Pair], version: str, alert: int) -> None:
    pair = made(version)
    assert pair.client_error is not None
    seen = pair.observed()
    assert (seen.alert_in, seen.alert_level_in) == (alert, 2)
    assert seen.alert_out == -1


@BOTH
def test_the_boards_own_alert_is_read(version: str) -> None:
    pair = wrong_name(version)
    assert isinstance(pair.client_error, ssl.SSLCertVerificationError)
    seen = pair.observed()
    assert (seen.alert_in, seen.alert_out) == (-1, 42), "bad_certificate"


@pytest.mark.parametrize("made", [none_shown, stranger])
def test_under_tls_1_3_the_servers_alert_cannot_be_read(made: Callable[[str], Pair]) -> None:
    seen = made("1.3").observed()
    assert seen.alert_in == -1
    assert seen.after_flight == [tlscause.ENCRYPTED_ALERT]


def alert_record(level: int, description: int) -> bytes:
    return bytes([21, 3, 3, 0, 2, level, description])


def test_a_warning_is_forgotten_when_the_handshake_goes_on() -> None:
    """Servers that do not know a name warn (112) and answer with the certificate that they have."""
    pieces = list(wrong_name("1.2").pieces)
    pieces.insert(1, (S, alert_record(1, 112)))
    assert record(observe(tuple(pieces)))["alert_in"] == -1
    assert observe(tuple(pieces[:2])).alert_in == 112, "while it is the last word, it stands"


def test_a_fatal_alert_outlives_the_close_notify_after_it() -> None:
    pieces = (*stranger("1.2").pieces, (S, alert_record(1, 0)))
    seen = observe(pieces)
    assert (seen.alert_in, seen.alert_level_in) == (48, 2)
    seen = observe((*wrong_name("1.2").pieces, (C, alert_record(1, 0))))
    assert seen.alert_out == 42


# how the bytes are cut


def cut(pieces: Iterable[Piece], size: Callable[[], int]) -> Iterable[Piece]:
    for from_server, data in pieces:
        at = 0
        while at < len(data):
            end = at + size()
            yield from_server, data[at:end]
            at = end


@BOTH
@EACH
def test_one_byte_at_a_time_gives_the_same_record(
    made: Callable[[str], Pair], version: str
) -> None:
    pair = made(version)
    bytewise = observe(tuple(cut(pair.pieces, lambda: 1)), keep_certificate=True)
    assert record(bytewise) == record(pair.observed(keep_certificate=True))


@given(st.sampled_from(HANDSHAKES), st.sampled_from(["1.2", "1.3"]), st.data())
def test_every_cut_gives_the_same_record(
    made: Callable[[str], Pair], version: str, data: st.DataObject
) -> None:
    pair = made(version)
    sizes = data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=20))
    turns = iter(sizes * 20_000)
    seen = observe(tuple(cut(pair.pieces, lambda: next(turns))), keep_certificate=True)
    assert record(seen) == record(pair.observed(keep_certificate=True))


@given(st.sampled_from(HANDSHAKES), st.integers(0, 5000))
def test_a_memoryview_tells_what_its_bytes_tell(made: Callable[[str], Pair], size: int) -> None:
    pair = made("1.2")
    seen = Observer()
    for from_server, data in pair.pieces:
        for part in (memoryview(data)[:size], memoryview(data)[size:]):
            (seen.received if from_server else seen.sent)(part)
    assert record(seen) == record(pair.observed())


# how the messages lie in the records


def in_records(from_server: bool, kind: int, body: bytes, size: int = 16384) -> list[bytes]:
    """One handshake message as records of at most `size` bytes."""
    message = bytes([kind]) + len(body).to_bytes(3, "big") + body
    return reframed(message, size)


def reframed(messages: bytes, size: int) -> list[bytes]:
    parts = [messages[at : at + size] for at in range(0, len(messages), size)]
    return [b"\x16\x03\x03" + len(part).to_bytes(2, "big") + part for part in parts]


def records(data: bytes) -> list[tuple[int, bytes]]:
    """(content type, body) of each record."""
    found = []
    while data:
        size = int.from_bytes(data[3:5], "big")
        found.append((data[0], data[5 : 5 + size]))
        data = data[5 + size :]
    return found


@pytest.mark.parametrize("made", [mutual, none_shown, with_rsa], ids=lambda it: it.__name__)
@pytest.mark.parametrize("size", [1, 3, 4, 5, 100, 16384])
def test_messages_may_span_records_and_share_them(made: Callable[[str], Pair], size: int) -> None:
    """Of each flight the readable messages are joined, and cut into records of another size."""
    pair = made("1.2")
    pieces: list[Piece] = []
    hidden = set[bool]()
    for from_server, data in pair.pieces:
        joined = b""
        for kind, body in records(data):
            if kind == tls.HANDSHAKE and from_server not in hidden:
                joined += body
                continue
            pieces += [(from_server, part) for part in reframed(joined, size)]
            joined = b""
            hidden |= {from_server} if kind == tls.CHANGE_CIPHER_SPEC else set()
            pieces.append((from_server, bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body))
        pieces += [(from_server, part) for part in reframed(joined, size)]
    changed = record(observe(tuple(pieces), keep_certificate=True))
    straight = record(pair.observed(keep_certificate=True))
    for key in ("bytes_in", "bytes_out", "first"):  # the records' heads are other ones
        del changed[key], straight[key]
    assert changed == straight


def test_an_alert_in_the_middle_of_a_message_is_read_and_the_message_goes_on() -> None:
    chain = b"\0\0\0"
    message = bytes([tls.CERTIFICATE, 0, 0, 3]) + chain
    for at in range(1, len(message)):
        first, last = reframed(message[:at], 99), reframed(message[at:], 99)
        seen = Observer(keep_certificate=True)
        for data in (*first, alert_record(2, 40), *last):
            seen.received(data)
        assert (seen.alert_in, seen.certificate) == (40, chain)


@given(st.binary(min_size=3, max_size=40), st.integers(1, 50))
def test_an_alert_record_with_more_in_it_is_the_same_at_every_cut(body: bytes, size: int) -> None:
    data = b"\x15\x03\x03\0" + bytes([len(body)]) + body + alert_record(1, 0)
    data += b"".join(in_records(S, tls.SERVER_HELLO_DONE, b""))
    whole = observe(((S, data),))
    assert record(observe(tuple(cut([(S, data)], lambda: size)))) == record(whole)
    assert whole.messages == [(S, tls.SERVER_HELLO_DONE)]


@pytest.mark.parametrize("share", [32, 65, 97, 133])
@pytest.mark.parametrize("first", ["supported_versions", "key_share"])
def test_the_order_of_a_server_hellos_extensions_does_not_matter(first: str, share: int) -> None:
    """Of the curves P-521 has the largest share, and it may stand before the version."""
    version = b"\0\x2b\0\x02\x03\x04"
    key = b"\0\x33" + (share + 4).to_bytes(2, "big") + b"\0\x19" + share.to_bytes(2, "big")
    key += bytes(share)
    extensions = version + key if first == "supported_versions" else key + version
    body = b"\x03\x03" + bytes(32) + b"\x20" + bytes(32) + b"\x13\x01\0"
    body += len(extensions).to_bytes(2, "big") + extensions
    seen = observe(tuple((S, data) for data in in_records(S, tls.SERVER_HELLO, body)))
    assert (seen.version, seen.cipher) == (0x0304, 0x1301)


# bytes that nobody should send


class Watched(bytes):
    """Bytes that count how many of them were copied out."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        Watched.copied += len(part) if isinstance(part, bytes) else 1
        return part


RECORDS = st.builds(
    lambda kind, body, minor: bytes([kind, 3, minor]) + len(body).to_bytes(2, "big") + body,
    st.integers(20, 23),
    st.one_of(
        st.binary(max_size=60),
        # messages of every kind, with a length that may lie
        st.builds(
            lambda kind, size, rest: bytes([kind]) + size.to_bytes(3, "big") + rest,
            st.integers(0, 20),
            st.one_of(st.integers(0, 80), st.integers(0, 2**24 - 1)),
            st.binary(max_size=90),
        ),
    ),
    st.integers(0, 4),
)
HOSTILE = st.lists(
    st.tuples(st.booleans(), st.one_of(RECORDS, RECORDS, st.binary(max_size=30))), max_size=25
)


@given(HOSTILE, st.booleans(), st.integers(1, 40))
def test_arbitrary_bytes_never_raise_and_read_the_same_at_every_cut(
    pieces: list[Piece], keep: bool, size: int
) -> None:
    seen = observe(tuple(pieces), keep)
    again = observe(tuple(cut(pieces, lambda: size)), keep)
    assert record(again) == record(seen)


@given(HOSTILE)
def test_a_real_handshake_with_junk_in_the_middle_never_raises(pieces: list[Piece]) -> None:
    real = mutual("1.2").pieces
    seen = observe((*real[:2], *pieces, *real[2:]), keep_certificate=True)
    tlscause.judge(seen, (), True)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    "flood",
    [
        reframed(b"\0" * 4 * 50_000, 16384),  # empty messages
        reframed(b"\x0b\xff\xff\xff" + bytes(2**20), 16384),  # one that never ends
        reframed(bytes(50_000), 1),
        [alert_record(1, 90)] * 30_000,
        [b"\x15\x03\x03\x48\x00" + bytes(18432)] * 20,
        [b"\x14\x03\x03\0\x01\x01"] * 30_000,
        [b"\x16\x03\x03\0\0"] * 30_000,
        [b"\x17\x03\x03\0\x01\0"] * 30_000,
        [b"junk" * 100_000],
    ],
    ids=[
        "messages",
        "endless",
        "bytewise",
        "alerts",
        "large-alerts",
        "ccs",
        "empty",
        "data",
        "junk",
    ],
)
def test_a_flood_is_copied_once_at_most_and_not_kept(keep: bool, flood: list[bytes]) -> None:
    seen = Observer(keep)
    data = Watched(b"".join(flood))
    Watched.copied = 0
    for way in (seen.received, seen.sent):
        way(data)
    assert Watched.copied <= 2 * len(data) + tls.FIRST
    assert len(pickle.dumps(seen)) < 2000 + (2 * tls.KEEP_CERTIFICATE if keep else 2 * tls.KEEP)


@given(st.binary(max_size=300))
def test_certificates_are_cut_out_of_any_bytes_without_raising(message: bytes) -> None:
    for part in tlscause.certificates(message):
        assert part
        assert part in message


@given(st.integers(0, 0xFFFF))
def test_every_version_has_a_name_or_none(version: int) -> None:
    name = version_name(version)
    assert name is None or name
    assert [version_name(each) for each in (0, 0x0300, 0x0301, 0x0303, 0x0304)] == [
        None,
        "SSL3",
        "1.0",
        "1.2",
        "1.3",
    ]
