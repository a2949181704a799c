"""Addresses of keys in tokens (RFC 7512)."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmshake.ca.pkcs11uri import PATH, QUERY, Pkcs11Uri, is_uri, parse
from firmshake.errors import Error

GOOD = "pkcs11:token=The%20CA;object=issuing;type=private;id=%01%FF?module-path=/usr/lib/hsm.so"

# what a label may be: any text that a terminal shows
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), min_size=1
)
NAMED = st.dictionaries(
    st.sampled_from([n for n in PATH if n not in ("id", "type", "slot-id", "library-version")]),
    TEXT,
)


def test_an_address_tells_token_key_and_module() -> None:
    found = parse(GOOD)
    assert (found.token, found.label, found.id) == ("The CA", "issuing", b"\x01\xff")
    assert found.texts["type"] == "private"
    assert found.query == {"module-path": "/usr/lib/hsm.so"}


@pytest.mark.parametrize(
    "text",
    [
        # RFC 7512 section 3, as far as it needs no PIN
        "pkcs11:",
        "pkcs11:object=my-pubkey;type=public",
        "pkcs11:object=my-key;type=private",
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;"
        "model=1.0;object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=",
        "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;"
        "library-version=1.23",
        "pkcs11:slot-description=Sun%20Metaslot",
        "pkcs11:slot-id=2",
        "PKCS11:token=x",
    ],
)
def test_what_the_rfc_shows_is_read(text: str) -> None:
    # an empty serial says nothing, and the RFC's own example has one
    parse(text.removesuffix(";serial="))


def test_a_file_is_no_address() -> None:
    assert not is_uri("root.key")
    assert not is_uri("pkcs11.key")
    assert is_uri("Pkcs11:")
    with pytest.raises(Error, match="not a PKCS#11 URI"):
        parse("root.key")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("pkcs11:token=a;token=b", "token twice"),
        ("pkcs11:token", "token, without a value"),
        ("pkcs11:token=", "token of the PKCS#11 URI is empty"),
        ("pkcs11:tokn=a", "tokn, which is not known"),
        ("pkcs11:token=a;", "no NAME=VALUE"),
        ("pkcs11:module-path=/x", "module-path, which is not known"),
        ("pkcs11:token=a?token=b", "token, which is not known"),
        ("pkcs11:token=a b", "must be written as %xx"),
        ("pkcs11:token=%4", "must be written as %xx"),
        ("pkcs11:token=%zz", "must be written as %xx"),
        ("pkcs11:token=a/b", "must be written as %xx"),
        ("pkcs11:token=%FF", "token of the PKCS#11 URI is not UTF-8"),
        ("pkcs11:object=%1B%5B2J", "control characters"),
        ("pkcs11:slot-id=two", "slot-id of the PKCS#11 URI is not a number"),
        ("pkcs11:library-version=1.2.3", "library-version of the PKCS#11 URI is not a number"),
        ("pkcs11:type=secret", "type of the PKCS#11 URI is not known"),
    ],
)
def test_a_wrong_address_says_where(text: str, what: str) -> None:
    parse(GOOD)
    with pytest.raises(Error, match=what) as caught:
        parse(text)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["pin-value", "pin-source"])
@pytest.mark.parametrize(
    "form", ["pkcs11:token=a?{}", "pkcs11:{}", "pkcs11:token=a?module-name=b&{}"]
)
def test_a_pin_is_refused_and_never_repeated(name: str, form: str) -> None:
    with pytest.raises(Error, match=f"{name} is not taken") as caught:
        parse(form.format(f"{name}=12345678"))
    assert "12345678" not in caught.value.message + caught.value.hint


@given(NAMED, st.none() | st.binary(min_size=1), st.dictionaries(st.sampled_from(QUERY), TEXT))
def test_what_is_written_is_read_back(
    texts: dict[str, str], key_id: bytes | None, query: dict[str, str]
) -> None:
    uri = Pkcs11Uri(texts, key_id, query)
    assert parse(str(uri)) == uri


SYNTAX = st.lists(
    st.sampled_from([*PATH, *QUERY, "pin-value", "=", ";", "&", "?", "%41", "%", "/", "a", "%FF"])
).map("".join)


@given(st.text() | st.one_of(st.text(string.printable), SYNTAX).map("pkcs11:{}".format))
def test_hostile_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except Error as error:
        shown = error.message + error.hint
    else:
        shown = str(found)
        assert parse(shown) == found
    assert shown.isprintable()
