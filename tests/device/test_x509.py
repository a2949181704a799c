"""What the board reads from certificates and keys is what `cryptography` reads."""

from __future__ import annotations

import functools
import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as reference
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from firmshake_agent import der, x509
from firmshake_agent.der import BadDer

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

KINDS = ("P-256", "P-384", "P-521", "RSA-2048", "RSA-3072")
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


@functools.cache
def private(kind: str, number: int = 0) -> Private:
    """A key of a kind; another one for each number."""
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind])
    return rsa.generate_private_key(65537, int(kind[4:]))


FORMATS = {
    "SEC1 or PKCS#1": PrivateFormat.TraditionalOpenSSL,
    "PKCS#8": PrivateFormat.PKCS8,
}


def key_der(key: Private, form: str) -> bytes:
    return key.private_bytes(Encoding.DER, FORMATS[form], NoEncryption())


def public_bytes(key: Private) -> bytes:
    """The subjectPublicKey: an uncompressed point (SEC 1), or an RSAPublicKey (RFC 8017)."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)


def build(
    *,
    subject: reference.Name,
    issuer: reference.Name | None = None,
    dates: tuple[datetime, datetime] = (EPOCH, EPOCH + timedelta(days=1)),
    kind: str = "P-256",
    names: tuple[reference.GeneralName, ...] = (),
    identifiers: bool = True,
    signer: str = "P-256",
) -> reference.Certificate:
    builder = (
        reference.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(private(kind).public_key())
        .serial_number(reference.random_serial_number())
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
        .add_extension(reference.BasicConstraints(True, None), True)
    )
    if names:
        builder = builder.add_extension(reference.SubjectAlternativeName(names), False)
    if identifiers:
        own = reference.SubjectKeyIdentifier.from_public_key(private(kind).public_key())
        above = reference.AuthorityKeyIdentifier.from_issuer_public_key(
            private(signer).public_key()
        )
        builder = builder.add_extension(own, False).add_extension(above, False)
    return builder.sign(private(signer), hashes.SHA256())


def named(text: str) -> reference.Name:
    return reference.Name([reference.NameAttribute(NameOID.COMMON_NAME, text)])


@functools.cache
def sample(kind: str = "P-256") -> bytes:
    """One certificate with everything in it that is read."""
    names = (
        reference.DNSName("broker.example"),
        reference.IPAddress(ipaddress.ip_address("192.0.2.1")),
        reference.IPAddress(ipaddress.ip_address("2001:db8::1")),
        reference.RFC822Name("someone@example"),
    )
    made = build(subject=named("broker"), issuer=named("issuing CA"), kind=kind, names=names)
    return made.public_bytes(Encoding.DER)


# certificates

ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64)
# `cryptography` counts the 64 in bytes of UTF-8, four of which a character may take
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=16)
ATTRIBUTES = st.builds(
    reference.NameAttribute,
    st.sampled_from(
        [NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME]
    ),
    st.one_of(ASCII, ANY_TEXT),
)
NAMES = st.one_of(
    st.lists(ATTRIBUTES, max_size=4).map(reference.Name),
    st.lists(
        st.lists(ATTRIBUTES, min_size=1, max_size=3, unique_by=lambda each: each.oid).map(
            reference.RelativeDistinguishedName
        ),
        max_size=3,
    ).map(reference.Name),
)
# cryptography refuses what is before 1950; RFC 5280 changes the form of dates in 2050
DATES = st.datetimes(datetime(1950, 1, 2), datetime(2400, 12, 31)).map(  # noqa: DTZ001
    lambda when: when.replace(microsecond=0, tzinfo=UTC)
)
ALTERNATIVES = st.one_of(
    st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}", fullmatch=True).map(
        reference.DNSName
    ),
    st.ip_addresses().map(reference.IPAddress),
    st.sampled_from(
        [reference.RFC822Name("a@example"), reference.UniformResourceIdentifier("urn:a")]
    ),
)


def shown(name: reference.Name) -> str:
    """The first commonName, else the first organizationName; what is not ASCII, as "?"."""
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        # in the order in which DER has the parts of one RDN, which is that of their bytes
        for rdn in name.rdns:
            for attribute in rdn.get_attributes_for_oid(oid):
                data = str(attribute.value).encode()[:64]
                return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in data)
    return ""


def addressed(name: reference.GeneralName) -> str:
    if not isinstance(name, reference.IPAddress):
        return str(name.value)[:64]
    if name.value.version == 4:
        return str(name.value)
    # not `exploded`: some versions of Python write a mapped IPv4 address in its own way
    return name.value.packed.hex(":", 2)


@given(
    NAMES,
    NAMES,
    st.lists(DATES, min_size=2, max_size=2, unique=True).map(sorted),
    st.sampled_from(KINDS),
    st.lists(ALTERNATIVES, max_size=8),
    st.booleans(),
)
def test_a_certificate_is_read_as_cryptography_reads_it(
    subject: reference.Name,
    issuer: reference.Name,
    dates: list[datetime],
    kind: str,
    names: list[reference.GeneralName],
    identifiers: bool,
) -> None:
    made = build(
        subject=subject,
        issuer=issuer,
        dates=(dates[0], dates[1]),
        kind=kind,
        names=tuple(names),
        identifiers=identifiers,
    )
    read = x509.Certificate(made.public_bytes(Encoding.DER))
    assert (read.subject, read.issuer) == (shown(made.subject), shown(made.issuer))
    assert (read.not_before, read.not_after) == tuple(int(each.timestamp()) for each in dates)
    assert read.key == public_bytes(private(kind))
    for form in FORMATS:
        own = x509.public_part(key_der(private(kind), form))
        assert own is not None
        assert x509.belongs(own, read)
    every = [
        addressed(name)
        for name in names
        if isinstance(name, reference.DNSName | reference.IPAddress)
    ]
    wanted = []
    for name in every:
        # the same name twice in a row of those that are kept is one: an address in both forms
        if name not in wanted[: x509.MAX_NAMES]:
            wanted.append(name)
    assert read.names == wanted[: x509.MAX_NAMES]
    assert read.name_count == len(wanted)
    if not identifiers:
        assert (read.ski, read.aki) == (b"", b"")
        return
    extensions = made.extensions
    assert (
        read.ski == extensions.get_extension_for_class(reference.SubjectKeyIdentifier).value.digest
    )
    above = extensions.get_extension_for_class(reference.AuthorityKeyIdentifier).value
    assert read.aki == above.key_identifier


@pytest.mark.parametrize(
    "form", [_ASN1Type.UTF8String, _ASN1Type.PrintableString, _ASN1Type.T61String]
)
def test_each_string_type_of_a_name_reads_the_same(form: _ASN1Type) -> None:
    attribute = reference.NameAttribute(NameOID.COMMON_NAME, "a broker", form)
    made = build(subject=reference.Name([attribute]))
    assert x509.Certificate(made.public_bytes(Encoding.DER)).subject == "a broker"


def test_a_certificate_signed_by_rsa_and_one_of_version_1_are_read() -> None:
    made = build(subject=named("x"), signer="RSA-2048").public_bytes(Encoding.DER)
    assert x509.Certificate(made).subject == "x"
    bare = build(subject=named("x"), identifiers=False)
    # without [0] version and without [3] extensions: RFC 5280, 4.1
    whole = bare.tbs_certificate_bytes
    fields = der.children(whole, *der.expect(whole, 0, len(whole), der.SEQUENCE))
    body = whole[fields[1][1] - 2 : fields[6][2]]
    old = wrapped(der.SEQUENCE, wrapped(der.SEQUENCE, body))
    assert x509.Certificate(old).subject == "x"
    assert x509.Certificate(old).names == []


def wrapped(tag: int, body: bytes) -> bytes:
    """The element with that body (X.690, 8.1.3)."""
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


# dates


@given(DATES)
def test_seconds_and_date_are_those_of_the_calendar(when: datetime) -> None:
    stamp = int(when.timestamp())
    parts = (when.year, when.month, when.day, when.hour, when.minute, when.second)
    assert x509.seconds(*parts) == stamp
    assert x509.date(stamp) == when.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


@given(st.integers(-62135596800, 253402300799))
def test_date_and_seconds_undo_each_other_from_year_1_to_9999(stamp: int) -> None:
    text = x509.date(stamp)
    assert text == (EPOCH + timedelta(seconds=stamp)).isoformat().replace("+00:00", "Z")
    parts = [int(part) for part in text[:-1].replace("T", "-").replace(":", "-").split("-")]
    assert x509.seconds(*parts) == stamp


# keys


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_the_key_of_another_certificate_does_not_belong(kind: str, form: str) -> None:
    certificate = x509.Certificate(sample(kind))
    own = x509.public_part(key_der(private(kind), form))
    other = x509.public_part(key_der(private(kind, 1), form))
    assert own is not None
    assert other is not None
    assert x509.belongs(own, certificate)
    assert not x509.belongs(other, certificate)


@pytest.mark.parametrize("kind", KINDS)
def test_an_encrypted_key_is_named_as_one(kind: str) -> None:
    for encoding, form in [
        (Encoding.DER, PrivateFormat.PKCS8),
        (Encoding.PEM, PrivateFormat.PKCS8),
        (Encoding.PEM, PrivateFormat.TraditionalOpenSSL),
    ]:
        data = private(kind).private_bytes(encoding, form, BestAvailableEncryption(b"words"))
        with pytest.raises(x509.EncryptedKey):
            x509.public_part(data)


@pytest.mark.parametrize("form", FORMATS.values())
def test_a_pem_key_is_left_to_the_runtime(form: PrivateFormat) -> None:
    data = private("P-256").private_bytes(Encoding.PEM, form, NoEncryption())
    assert x509.public_part(data) is None


def test_an_ec_key_without_its_public_half_cannot_be_compared() -> None:
    """RFC 5915 makes the public key optional."""
    data = key_der(private("P-256"), "SEC1 or PKCS#1")
    parts = der.children(data, *der.expect(data, 0, len(data), der.SEQUENCE))
    assert parts[-1][0] == 0xA1
    bare = wrapped(der.SEQUENCE, data[2 : parts[-1][1] - 2])
    assert x509.public_part(bare) is None


def test_what_is_no_private_key_of_use_is_refused() -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    public = private("RSA-2048").public_key()
    for data in (
        other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        sample(),
    ):
        with pytest.raises(BadDer):
            x509.public_part(data)


def test_a_key_wrapped_in_keys_without_end_is_refused() -> None:
    data = key_der(private("P-256"), "PKCS#8")
    head = b"\x02\x01\x00" + wrapped(der.SEQUENCE, b"")
    for _ in range(3000):
        data = wrapped(der.SEQUENCE, head + wrapped(der.OCTET_STRING, data))
    with pytest.raises(BadDer):
        x509.public_part(data)


# damage


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """Bytes changed, left out or put in at a few places."""
    change = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 3), st.binary(max_size=4))

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        mutable = bytearray(data)
        for at, gone, new in changes:
            mutable[at : at + gone] = new
        return bytes(mutable)

    return st.lists(change, min_size=1, max_size=6).map(apply)


SAMPLES = st.sampled_from(["P-256", "RSA-2048"]).flatmap(lambda kind: damaged(sample(kind)))
KEY_SAMPLES = st.tuples(st.sampled_from(KINDS), st.sampled_from(sorted(FORMATS))).flatmap(
    lambda each: damaged(key_der(private(each[0]), each[1]))
)


@given(st.one_of(SAMPLES, KEY_SAMPLES, st.binary(max_size=80)))
def test_damaged_der_raises_bad_der_or_is_read(data: bytes) -> None:
    try:
        read = x509.Certificate(data)
    except BadDer:
        return
    assert read.name_count >= len(read.names) <= x509.MAX_NAMES
    assert len(read.subject) <= 64
    for when in (read.not_before, read.not_after):
        assert x509.date(when).endswith("Z")


@given(st.one_of(KEY_SAMPLES, SAMPLES, st.binary(max_size=80)))
def test_a_damaged_key_raises_bad_der_or_encrypted_key_or_is_read(data: bytes) -> None:
    try:
        public = x509.public_part(data)
    except (BadDer, x509.EncryptedKey):
        return
    assert public is None or x509.belongs(public, x509.Certificate(sample())) in (True, False)


@pytest.mark.parametrize("kind", ["P-256", "RSA-2048"])
def test_a_certificate_or_key_that_is_cut_short_is_refused_at_every_length(kind: str) -> None:
    whole = sample(kind)
    assert x509.Certificate(whole).subject == "broker"
    for size in range(len(whole)):
        with pytest.raises(BadDer):
            x509.Certificate(whole[:size])
    for form in FORMATS:
        key = key_der(private(kind), form)
        assert x509.public_part(key)
        for size in range(len(key)):
            with pytest.raises(BadDer):
                x509.public_part(key[:size])


# der itself


@given(st.binary(max_size=60), st.integers(-5, 70), st.integers(0, 60))
def test_an_element_lies_inside_its_bounds(data: bytes, at: int, end: int) -> None:
    end = min(end, len(data))
    at = max(at, 0)
    try:
        _, start, stop = der.element(data, at, end)
    except BadDer:
        return
    assert at < start <= stop <= end


@given(st.binary(max_size=60))
def test_split_gives_all_the_bytes_back(data: bytes) -> None:
    try:
        parts = der.split(data)
    except BadDer:
        return
    assert b"".join(parts) == data


@given(st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=400)), max_size=6))
def test_elements_that_were_written_are_found(written: list[tuple[int, bytes]]) -> None:
    parts = [wrapped(tag, body) for tag, body in written]
    data = b"".join(parts)
    assert der.split(data) == parts
    found = der.children(data, 0, len(data))
    assert [(tag, data[start:stop]) for tag, start, stop in found] == written
