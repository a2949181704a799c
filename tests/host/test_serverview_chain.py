"""The chain that a server sends, judged: one test breaks one thing; the control is the first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from support import chains
from support.chains import DAY, Made, make
from support.pki import NOW

from firmshake.serverview import certview, chain
from firmshake.serverview.chain import Chain
from firmshake.serverview.finding import ERROR

NAME = "broker.lab"
ROOT = make("root", ca=True, valid=(NOW - DAY, NOW + 3000 * DAY))
MIDDLE = make("middle", ROOT, ca=True)
LEAF = make(NAME, MIDDLE, names=[NAME, "10.0.0.1"])
SMALL = rsa.generate_private_key(65537, 1024)
LARGE = rsa.generate_private_key(65537, 2048)


def judged(
    *sent: Made, anchors: Sequence[Made] = (ROOT,), name: str = NAME, known: Sequence[Made] = ()
) -> Chain:
    return chain.assess(
        [one.der for one in sent],
        [one.certificate for one in anchors],
        name,
        NOW,
        [one.certificate for one in known],
    )


def errors(found: Chain) -> list[str]:
    return [one.code for one in found.findings if one.level == ERROR]


def codes(found: Chain) -> list[str]:
    return [one.code for one in found.findings]


def test_a_good_chain_leads_to_the_anchor_and_there_is_nothing_to_say() -> None:
    found = judged(LEAF, MIDDLE)
    assert (found.verified, found.refusal, found.findings) == (True, "", ())
    assert (found.path, found.name_matches) == ((0, 1), True)
    assert found.anchor is not None
    assert found.anchor.subject == "root"
    leaf = found.certificates[0]
    assert (leaf.subject, leaf.issuer, leaf.days_left) == (NAME, "middle", 90)
    assert (leaf.names, leaf.key, leaf.hash) == ((NAME, "10.0.0.1"), "EC secp256r1", "sha256")
    assert "serverAuth" in leaf.usages
    assert leaf.sha256 == LEAF.certificate.fingerprint(hashes.SHA256()).hex()


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        (NAME, True),
        ("BROKER.lab", True),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("other.lab", False),
        ("a.broker.lab", False),
    ],
)
def test_the_name_wanted_is_held_against_the_names_shown(name: str, matches: bool) -> None:
    found = judged(LEAF, MIDDLE, name=name)
    assert found.name_matches is matches
    assert found.verified is matches
    assert errors(found) == ([] if matches else ["hostname_mismatch"])


@pytest.mark.parametrize(("name", "matches"), [("a.lab", True), ("a.b.lab", False), ("lab", False)])
def test_a_wildcard_stands_for_one_label(name: str, matches: bool) -> None:
    found = judged(make("star", MIDDLE, names=["*.lab"]), MIDDLE, name=name)
    assert found.name_matches is matches


def test_a_common_name_alone_is_a_warning_since_boards_take_it() -> None:
    found = judged(make(NAME, MIDDLE), MIDDLE)
    assert "no_san" in codes(found)
    assert errors(found) == []


def test_a_missing_intermediate_is_named_where_it_is_known() -> None:
    assert errors(judged(LEAF, known=[MIDDLE])) == ["incomplete_chain"]
    assert "'middle'" in judged(LEAF, known=[MIDDLE]).findings[0].text


def test_without_it_nothing_is_claimed() -> None:
    assert errors(judged(LEAF)) == ["issuer_unknown"]


def test_another_ca_of_the_same_name_is_called_made_anew() -> None:
    other = make("root", ca=True)
    found = judged(LEAF, MIDDLE, anchors=[other])
    assert errors(found) == ["unknown_ca"]
    assert "another key" in found.findings[0].text


def test_a_root_that_is_not_trusted() -> None:
    assert errors(judged(LEAF, MIDDLE, ROOT, anchors=[make("mine", ca=True)])) == ["unknown_ca"]


def test_a_certificate_that_signed_itself() -> None:
    assert errors(judged(make(NAME, names=[NAME]))) == ["self_signed"]


def test_a_certificate_that_is_trusted_itself_needs_no_issuer() -> None:
    own = make(NAME, names=[NAME])
    assert errors(judged(own, anchors=[own])) == []


def test_the_wrong_order_is_an_error_though_libraries_sort() -> None:
    top = make("top", ROOT, ca=True)
    low = make("low", top, ca=True)
    leaf = make(NAME, low, names=[NAME])
    assert judged(leaf, low, top).findings == ()
    found = judged(leaf, top, low)
    assert found.verified
    assert errors(found) == ["out_of_order"]


def test_the_root_and_strangers_are_superfluous() -> None:
    assert codes(judged(LEAF, MIDDLE, ROOT)) == ["root_sent"]
    assert codes(judged(LEAF, MIDDLE, make("stranger", ca=True))) == ["superfluous"]
    assert errors(judged(LEAF, make("stranger", ca=True), MIDDLE)) == []


def test_dates() -> None:
    def of(starts: int, ends: int) -> list[str]:
        valid = (NOW + starts * DAY, NOW + ends * DAY)
        return codes(judged(make(NAME, MIDDLE, names=[NAME], valid=valid), MIDDLE))

    assert of(-90, 90) == []
    assert of(-90, -1) == ["expired"]
    assert of(1, 90) == ["not_yet_valid"]
    assert of(-90, 5) == ["expires_soon"]
    assert of(-1, 10) == []  # short-lived on purpose
    old = make("old", ROOT, ca=True, valid=(NOW - 9 * DAY, NOW - DAY))
    assert errors(judged(make(NAME, old, names=[NAME]), old)) == ["expired"]


def test_usages() -> None:
    client = make(NAME, MIDDLE, names=[NAME], usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    assert errors(judged(client, MIDDLE)) == ["wrong_usage"]
    leaf = make("leaf", ROOT)
    assert errors(judged(make(NAME, leaf, names=[NAME]), leaf)) == ["not_a_ca"]


def test_weaknesses_that_boards_refuse() -> None:
    weak = make("weak", ROOT, ca=True, key=SMALL)
    assert errors(judged(make(NAME, weak, names=[NAME]), weak)) == ["weak_key"]
    old = make(NAME, MIDDLE, names=[NAME], digest=hashes.SHA224())
    assert errors(judged(old, MIDDLE)) == ["weak_signature"]
    small = make("small", ca=True, key=SMALL)
    assert errors(judged(make(NAME, small, names=[NAME]), anchors=[small])) == ["weak_key"]


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.BrainpoolP256R1()),
        ec.generate_private_key(ec.SECP224R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_keys_that_stock_firmware_lacks(key: chains.Key) -> None:
    found = judged(make(NAME, MIDDLE, names=[NAME], key=key), MIDDLE)
    assert errors(found) == ["unsupported_key"]


def test_a_signature_that_one_kind_of_board_lacks_names_that_kind() -> None:
    middle = make("middle", ROOT, ca=True, key=LARGE)
    found = judged(make(NAME, middle, names=[NAME], pss=True), middle)
    assert errors(found) == ["unsupported_key"]
    assert "Pico W cannot" in found.findings[0].text
    assert judged(make(NAME, middle, names=[NAME]), middle).findings == ()


def test_a_chain_that_no_record_holds() -> None:
    names = [NAME, *(f"host-{number}.example.org" for number in range(900))]
    assert errors(judged(make(NAME, MIDDLE, names=names), MIDDLE)) == ["chain_too_long"]


@pytest.mark.parametrize("sent", [[], [b""], [b"junk"], [b"0\x03\x02\x01\x00"]])
def test_what_is_no_certificate_is_malformed(sent: list[bytes]) -> None:
    found = chain.assess(sent, [ROOT.certificate], NAME, NOW)
    assert [one.code for one in found.findings] == ["malformed"]


@given(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255), st.sampled_from([0, 1]))
def test_a_spoilt_byte_never_leads_to_an_exception(at: int, byte: int, which: int) -> None:
    sent = [bytearray(LEAF.der), bytearray(MIDDLE.der)]
    at %= len(sent[which])
    sent[which][at] = byte
    found = chain.assess([bytes(one) for one in sent], [ROOT.certificate], NAME, NOW)
    good = [bytes(one) for one in sent] == [LEAF.der, MIDDLE.der]
    assert good or not found.verified


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_none(data: bytes) -> None:
    read = certview.load(data)
    assert read is None or certview.of(read, NOW).size
