"""The CRL in parts: the same, octet for octet, as `cryptography` makes it in one go."""

from __future__ import annotations

import base64
import functools
import itertools
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from hypothesis import given
from hypothesis import strategies as st
from support import chains

from firmshake.ca import crl, crlfile
from firmshake.ca.certificate import Issuer, signature_hash
from firmshake.ca.crl import REASONS, Revoked
from firmshake.errors import Error

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
WEEK = timedelta(days=7)
KINDS = ("ec-p256", "ec-p384", "rsa-2048")
DER = serialization.Encoding.DER


@functools.cache
def issuer(kind: str = "ec-p256") -> Issuer:
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if kind == "rsa-2048":
        key = rsa.generate_private_key(65537, 2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1() if kind == "ec-p256" else ec.SECP384R1())
    return Issuer(key, chains.make(f"{kind} CA", ca=True, key=key).certificate)


def in_one_go(
    by: Issuer, revoked: Sequence[Revoked], number: int, starts: datetime, ends: datetime
) -> x509.CertificateRevocationList:
    """What is to be matched: the list as cryptography's builder makes it."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(starts)
        .next_update(ends)
        .add_extension(x509.CRLNumber(number), False)
        .add_extension(by.key_identifier, False)
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(one.at)
        flag = REASONS[one.reason] if one.reason else None
        if flag:
            entry = entry.add_extension(x509.CRLReason(flag), False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(by.key, signature_hash(by.key))


def made(path: Path, revoked: Sequence[Revoked] = (), **changes: object) -> bytes:
    """The file that is written, with everything that is not said as it should be."""
    settings = {"number": 1, "this_update": NOW, "next_update": NOW + WEEK, "pem": False}
    assert crlfile.write(path, issuer(), revoked, **{**settings, **changes}) == len(revoked)
    return path.read_bytes()


def some(count: int) -> list[Revoked]:
    names = itertools.cycle([None, *REASONS])
    return [Revoked(2**158 + i, NOW, name) for i, name in zip(range(count), names, strict=False)]


moments = st.datetimes(
    datetime(1950, 1, 1),  # noqa: DTZ001  the strategy adds the zone itself
    datetime(9990, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=0))
entries = st.builds(Revoked, st.integers(1, 2**159 - 1), moments, st.sampled_from([None, *REASONS]))


@given(
    st.sampled_from(KINDS),
    st.lists(entries, max_size=12),
    st.integers(0, 2**159 - 1),
    moments,
    st.integers(1, 10**8),
    st.integers(1, 5),
)
def test_what_is_signed_is_what_cryptography_signs(
    kind: str, revoked: list[Revoked], number: int, starts: datetime, term_s: int, chunk: int
) -> None:
    ends = starts + timedelta(seconds=term_s)
    frame = crl.frame(issuer(kind), number=number, this_update=starts, next_update=ends)
    content = b"".join(data for _, data in crl.encoded(revoked, chunk))
    before, behind = frame.to_be_signed(len(content))
    wanted = in_one_go(issuer(kind), revoked, number, starts, ends)
    assert before + content + behind == wanted.tbs_certlist_bytes
    before, behind = frame.whole(len(content), wanted.signature)
    assert before + content + behind == wanted.public_bytes(DER)


# on both sides of where a length grows by an octet
@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535, 65536, 2**24 - 1, 2**24])
def test_lengths_in_their_shortest_form(size: int) -> None:
    frame = crl.Frame(b"head", b"tail", b"")
    before, _ = frame.to_be_signed(size)
    octets = before[before.index(b"head") + 4 :]
    assert len(octets) == (
        0 if size == 0 else 2 if size < 128 else 2 + (size.bit_length() + 7) // 8
    )
    if size:
        found = int.from_bytes(octets[2:], "big") if octets[1] & 0x80 else octets[1]
        assert (octets[0], found) == (0x30, size)


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_is_the_issuers(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ca.crl"
    crlfile.write(
        path, issuer(kind), some(3), number=1, this_update=NOW, next_update=NOW + WEEK, pem=False
    )
    found = x509.load_der_x509_crl(path.read_bytes())
    assert found.is_signature_valid(issuer(kind).certificate.public_key())
    assert not found.is_signature_valid(chains.make("another").key.public_key())
    wanted = hashes.SHA384 if kind == "ec-p384" else hashes.SHA256
    assert isinstance(found.signature_hash_algorithm, wanted)


def test_a_digest_is_signed_with_rsa_as_the_message_is() -> None:
    key, message = issuer("rsa-2048").key, b"to be signed"
    assert isinstance(key, rsa.RSAPrivateKey)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(message)
    hashed = key.sign(digest.finalize(), padding.PKCS1v15(), Prehashed(hashes.SHA256()))
    assert hashed == key.sign(message, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1499])
@pytest.mark.parametrize("pem", [True, False])
def test_every_entry_is_found_again(tmp_path: Path, count: int, pem: bool) -> None:
    content = made(tmp_path / "ca.crl", some(count), pem=pem)
    found = (x509.load_pem_x509_crl if pem else x509.load_der_x509_crl)(content)
    assert [one.serial_number for one in found] == [one.serial for one in some(count)]
    assert found.is_signature_valid(issuer().certificate.public_key())


def test_the_entries_keep_their_order(tmp_path: Path) -> None:
    revoked = [Revoked(serial, NOW) for serial in (9, 2, 7)]
    found = x509.load_der_x509_crl(made(tmp_path / "ca.crl", revoked))
    assert [one.serial_number for one in found] == [9, 2, 7]


@pytest.mark.parametrize("count", [0, 1, 2, 2000])
def test_pem_is_laid_out_as_cryptography_does(tmp_path: Path, count: int) -> None:
    content = made(tmp_path / "ca.crl", some(count), pem=True)
    again = x509.load_pem_x509_crl(content)
    assert content == again.public_bytes(serialization.Encoding.PEM)
    assert base64.b64decode(b"".join(content.splitlines()[1:-1])) == again.public_bytes(DER)


@pytest.mark.parametrize("reason", [None, *REASONS])
def test_reasons_by_their_names_in_the_rfc(tmp_path: Path, reason: str | None) -> None:
    (found,) = x509.load_der_x509_crl(made(tmp_path / "a.crl", [Revoked(5, NOW, reason)]))
    carried = [extension.value for extension in found.extensions]
    if reason in (None, "unspecified"):
        assert carried == []
    else:
        assert [one.reason.value for one in carried if isinstance(one, x509.CRLReason)] == [reason]


@pytest.mark.parametrize("reason", ["removeFromCRL", "aACompromise", "keycompromise", ""])
def test_other_reasons_are_refused(reason: str) -> None:
    with pytest.raises(Error) as caught:
        Revoked(5, NOW, reason)
    assert "keyCompromise" in caught.value.hint
    assert Revoked(5, NOW, "keyCompromise")


@pytest.mark.parametrize("serial", [0, -1, 2**159])
def test_a_serial_number_that_none_has(serial: int) -> None:
    with pytest.raises(Error, match="serial number"):
        Revoked(serial, NOW)
    assert Revoked(2**159 - 1, NOW)


def test_a_date_of_revocation_that_none_has() -> None:
    with pytest.raises(Error, match="1949-12-31"):
        Revoked(1, datetime(1949, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"number": -1}, "number"),
        ({"number": 2**159}, "number"),
        ({"next_update": NOW}, "next update"),
        ({"next_update": NOW - WEEK}, "next update"),
        ({"this_update": NOW.replace(year=1949)}, "next update"),
    ],
)
def test_what_no_crl_can_have(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(Error, match=words):
        made(tmp_path / "ca.crl", **changes)
    assert list(tmp_path.iterdir()) == []
    assert made(tmp_path / "ca.crl")


def test_an_issuer_that_may_not_sign_crls(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "certificates only")])
    flags = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
         "key_agreement", "crl_sign", "encipher_only", "decipher_only"),
        False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + WEEK)
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.KeyUsage(**flags, key_cert_sign=True), True)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(Error, match="cRLSign") as caught:
        crl.frame(Issuer(key, certificate), number=1, this_update=NOW, next_update=NOW + WEEK)
    assert "certificates only" in caught.value.message


def test_dates_are_cut_to_the_second(tmp_path: Path) -> None:
    late = timedelta(microseconds=999_999)
    revoked = [Revoked(5, NOW + late)]
    path = tmp_path / "ca.crl"
    content = made(path, revoked, this_update=NOW + late, next_update=NOW + WEEK + late)
    found = x509.load_der_x509_crl(content)
    assert (found.last_update_utc, found.next_update_utc) == (NOW, NOW + WEEK)
    assert found.get_revoked_certificate_by_serial_number(5).revocation_date_utc == NOW  # type: ignore[union-attr]


def test_progress_tells_how_many_are_encoded(tmp_path: Path) -> None:
    told: list[int] = []
    made(tmp_path / "ca.crl", some(1100), progress=told.append)
    assert told == [500, 1000, 1100]


def test_memory_does_not_grow_with_the_list(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        entries = (Revoked(2**158 + number, NOW) for number in range(count))
        tracemalloc.start()
        try:
            crlfile.write(
                tmp_path / "ca.crl",
                issuer(),
                entries,
                number=1,
                this_update=NOW,
                next_update=NOW + WEEK,
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # what is made once
    assert peak(20_000) < 1.2 * peak(2_000)


def failing() -> Iterator[Revoked]:
    yield from some(600)
    raise KeyboardInterrupt


def test_an_interruption_leaves_the_old_list_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ca.crl"
    old = made(path, some(2))
    with pytest.raises(KeyboardInterrupt):
        made(path, failing(), number=2)  # type: ignore[arg-type]
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


class Unchecked(Issuer):
    """Stands for a token that is out of order: what it signs, the certificate does not verify."""

    def __post_init__(self) -> None:
        pass


def test_a_wrong_signature_is_never_written(tmp_path: Path) -> None:
    faulty = Unchecked(ec.generate_private_key(ec.SECP256R1()), issuer().certificate)
    path = tmp_path / "ca.crl"
    with pytest.raises(Error, match="does not verify"):
        crlfile.write(
            path,
            faulty,
            some(1),
            number=1,
            this_update=NOW,
            next_update=NOW + WEEK,
        )
    assert list(tmp_path.iterdir()) == []
    assert made(path, some(1))


@pytest.mark.parametrize("pem", [True, False])
def test_a_summary(tmp_path: Path, pem: bool) -> None:
    path = tmp_path / "ca.crl"
    made(path, some(7), number=12, pem=pem)
    found = crlfile.read_summary(path)
    assert found == crlfile.Summary(issuer().certificate.subject, 12, NOW, NOW + WEEK, 7)


def test_a_summary_of_a_list_without_a_number(tmp_path: Path) -> None:
    path = tmp_path / "ca.crl"
    ca = chains.make("CA", ca=True)
    path.write_bytes(chains.crl(ca, 1, 2).public_bytes(DER))
    found = crlfile.read_summary(path)
    assert (found.number, found.count) == (None, 2)


@given(st.binary(max_size=200))
def test_junk_is_no_list(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.crl"
    path.write_bytes(junk)
    with pytest.raises(Error, match="is no CRL"):
        crlfile.read_summary(path)


def test_a_list_cut_short_is_none(tmp_path: Path) -> None:
    path = tmp_path / "ca.crl"
    whole = made(path, some(3))
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(Error, match="is no CRL"):
            crlfile.read_summary(path)
    path.write_bytes(whole)
    assert crlfile.read_summary(path).count == 3


def test_anybody_may_read_the_list(tmp_path: Path) -> None:
    path = tmp_path / "ca.crl"
    made(path)
    assert path.stat().st_mode & 0o444 == 0o444
