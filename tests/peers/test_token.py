"""CA keys in a token: SoftHSM2, through the PKCS#11 module that Debian has."""

from __future__ import annotations

import copy
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID
from pkcs11 import Attribute, KeyType, MechanismFlag, TokenFlag, exceptions
from support.pki import NOW
from support.softhsm import PIN, Token, softhsm

from firmshake.ca import token, tokenmodule, tokensession
from firmshake.ca.identity import PrivateKey
from firmshake.errors import Error

TYPES = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096")
ECDSA = ec.ECDSA(hashes.SHA256())


@pytest.fixture
def hsm(tmp_path: Path) -> Iterator[Token]:
    with softhsm(tmp_path, "The CA", "other") as made:
        yield made


def in_file(key_type: str) -> PrivateKey:
    if key_type.startswith("ec"):
        return ec.generate_private_key(ec.SECP384R1() if key_type == "ec-p384" else ec.SECP256R1())
    return rsa.generate_private_key(65537, int(key_type.removeprefix("rsa-")))


def digest(key_type: str) -> hashes.HashAlgorithm:
    return hashes.SHA384() if key_type == "ec-p384" else hashes.SHA256()


def certificate(key: PrivateKey, issuer: PrivateKey, digest: hashes.HashAlgorithm) -> Any:
    """Nothing of it is left to chance but the signature."""
    return (
        x509.CertificateBuilder()
        .subject_name(named("esp32-aabbcc"))
        .issuer_name(named("the CA"))
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), False
        )
        .sign(issuer, digest)
    )


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def root(key: PrivateKey, digest: hashes.HashAlgorithm) -> x509.Certificate:
    name = named("the CA")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, digest)
    )


def session(hsm: Token) -> Any:
    """A session beside the product's own, for what only a test does."""
    found = tokenmodule.library(str(hsm.module)).get_token(token_label=hsm.label)
    return found.open(rw=True)


@pytest.mark.parametrize("key_type", TYPES)
def test_a_key_in_a_file_and_in_a_token_sign_the_same_certificate(
    hsm: Token, key_type: str
) -> None:
    kept, leaf = in_file(key_type), in_file("ec-p256")
    moved = token.import_key(hsm.uri("issuing"), PIN, kept)
    by_file = certificate(leaf, kept, digest(key_type))
    by_token = certificate(leaf, moved, digest(key_type))
    assert by_token.tbs_certificate_bytes == by_file.tbs_certificate_bytes
    assert by_token.signature_algorithm_oid == by_file.signature_algorithm_oid
    if key_type.startswith("rsa"):  # no chance is in this signature
        assert by_token == by_file
    issuer = root(kept, digest(key_type))
    by_token.verify_directly_issued_by(issuer)
    by_file.verify_directly_issued_by(issuer)
    stranger = root(in_file(key_type), digest(key_type))
    with pytest.raises(InvalidSignature):
        by_token.verify_directly_issued_by(stranger)


@pytest.mark.parametrize("key_type", TYPES)
def test_a_key_is_made_in_the_token_and_never_leaves_it(hsm: Token, key_type: str) -> None:
    made = token.generate(hsm.uri("issuing"), PIN, key_type)
    made_root = root(made, digest(key_type))
    made_root.verify_directly_issued_by(made_root)
    assert token.open_key(hsm.uri("issuing"), PIN).public_key() == made.public_key()
    assert made.key_size == int(key_type.rpartition("-")[2].removeprefix("p"))
    with session(hsm) as beside:
        there = beside.get_key(label="issuing", object_class=pkcs11.ObjectClass.PRIVATE_KEY)
        assert there[Attribute.SENSITIVE]
        assert not there[Attribute.EXTRACTABLE]
        secret = Attribute.VALUE if key_type.startswith("ec") else Attribute.PRIVATE_EXPONENT
        with pytest.raises(exceptions.AttributeSensitive):
            there[secret]


@pytest.mark.parametrize("key_type", ["ec-p384", "rsa-2048"])
def test_a_digest_made_before_is_signed_as_its_data_is(hsm: Token, key_type: str) -> None:
    key = token.generate(hsm.uri("issuing"), PIN, key_type)
    data, chosen = b"a list of a million certificates", hashes.SHA384()
    made = hashes.Hash(chosen)
    made.update(data)
    before = utils.Prehashed(chosen)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(made.finalize(), ec.ECDSA(before))
        key.public_key().verify(signature, data, ec.ECDSA(chosen))
        with pytest.raises(ValueError, match="not as long"):
            key.sign(data, ec.ECDSA(before))
    else:
        signature = key.sign(made.finalize(), padding.PKCS1v15(), before)
        key.public_key().verify(signature, data, padding.PKCS1v15(), chosen)
        with pytest.raises(ValueError, match="not as long"):
            key.sign(data, padding.PKCS1v15(), before)


def test_a_key_in_a_token_does_nothing_but_sign(hsm: Token) -> None:
    curve = token.generate(hsm.uri("ec"), PIN, "ec-p256")
    modulus = token.generate(hsm.uri("rsa"), PIN, "rsa-2048")
    assert isinstance(curve, ec.EllipticCurvePrivateKey)
    assert isinstance(modulus, rsa.RSAPrivateKey)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    refused: list[Callable[[], object]] = [
        lambda: curve.private_bytes(*form),
        lambda: modulus.private_bytes(*form),
        curve.private_numbers,
        modulus.private_numbers,
        lambda: curve.exchange(ec.ECDH(), other),
        lambda: modulus.decrypt(b"", padding.PKCS1v15()),
        lambda: modulus.sign(b"", pss, hashes.SHA256()),
        lambda: modulus.sign(b"", padding.PKCS1v15(), hashes.SHA1()),
        lambda: copy.copy(curve).private_numbers(),
        lambda: copy.deepcopy(modulus).private_numbers(),
        lambda: curve.__reduce__(),
    ]
    for call in refused:
        with pytest.raises(Error, match="signs and does nothing else"):
            call()
    curve.sign(b"", ECDSA)
    modulus.sign(b"", padding.PKCS1v15(), hashes.SHA256())


def test_a_second_key_of_one_label_is_not_made(hsm: Token) -> None:
    first = token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    with pytest.raises(Error, match="has such a key already: 'issuing'"):
        token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    with pytest.raises(Error, match="has such a key already"):
        token.import_key(hsm.uri("issuing"), PIN, in_file("ec-p256"))
    assert token.open_key(hsm.uri("issuing"), PIN).public_key() == first.public_key()
    token.generate(hsm.uri("next"), PIN, "ec-p256")


def test_of_two_keys_with_one_label_the_id_tells_which(hsm: Token) -> None:
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    with session(hsm) as beside:  # as another program would
        curve = {Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")}
        beside.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(
            store=True, label="issuing", id=b"\x02;", capabilities=MechanismFlag.SIGN
        )
    with pytest.raises(Error, match="has 2 private keys 'issuing'") as caught:
        token.open_key(hsm.uri("issuing"), PIN)
    assert "id=%02%3B" in caught.value.hint
    place = hsm.uri("issuing").replace("?", ";id=%02%3B?")
    token.open_key(place, PIN).sign(b"", ECDSA)


def test_a_missing_key_lists_those_that_are_there(hsm: Token) -> None:
    with pytest.raises(Error, match="'The CA' has no private key 'root'") as caught:
        token.open_key(hsm.uri("root"), PIN)
    assert caught.value.hint == "its private keys: none"
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    with pytest.raises(Error, match="'The CA' has no private key 'root'") as caught:
        token.open_key(hsm.uri("root"), PIN)
    assert caught.value.hint == "its private keys: 'issuing'"
    token.open_key(hsm.uri("issuing"), PIN)


def test_a_missing_token_lists_those_that_are_there(hsm: Token) -> None:
    with pytest.raises(Error, match="no token 'third'") as caught:
        token.open_key(hsm.uri("issuing", token="third"), PIN)
    assert "'The CA', 'other'" in caught.value.hint


def test_two_tokens_with_one_label_are_told_apart_by_their_serial_numbers(tmp_path: Path) -> None:
    with softhsm(tmp_path, "twin", "twin") as twin:
        with pytest.raises(Error, match="2 tokens are meant") as caught:
            token.open_key(twin.uri("issuing"), PIN)
        serial = caught.value.hint.rpartition(" ")[2]
        token.generate(twin.uri("issuing", serial=serial), PIN, "ec-p256").sign(b"", ECDSA)


def test_a_wrong_pin_says_so_and_how_many_tries_the_token_tells(hsm: Token) -> None:
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    with pytest.raises(Error, match="wrong PIN for the token 'The CA'"):  # while it is open
        token.open_key(hsm.uri("issuing"), b"0000-0000")
    token.close()
    with pytest.raises(Error, match="wrong PIN for the token 'The CA'") as caught:
        token.open_key(hsm.uri("issuing"), b"0000-0000")
    assert "few tries may be left" in caught.value.hint
    assert "0000" not in caught.value.message + caught.value.hint
    token.open_key(hsm.uri("issuing"), PIN).sign(b"", ECDSA)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY, "that was the last try"),
        (TokenFlag.USER_PIN_FINAL_TRY | TokenFlag.USER_PIN_COUNT_LOW, "one try is left"),
        (TokenFlag.TOKEN_INITIALIZED, "after a number of wrong ones"),
    ],
)
def test_a_token_that_counts_wrong_pins_is_passed_on(flags: TokenFlag, words: str) -> None:
    """SoftHSM2 never locks itself: this one would."""
    locking = Locking(flags)
    with pytest.raises(Error, match="wrong PIN") as caught:
        tokensession._logged_in(locking, "1234")  # type: ignore[arg-type]
    assert words in caught.value.hint


class Locking:
    """A token that takes no PIN."""

    label = "locking"

    def __init__(self, flags: TokenFlag) -> None:
        self.flags, self.slot = flags, self

    def get_token(self) -> Locking:
        return self

    def open(self, user_pin: str) -> None:
        raise exceptions.PinIncorrect


@pytest.mark.parametrize(
    ("pin", "what"), [(b"", "no PIN was given"), (b"\xff\xff\xff\xff", "the PIN is not UTF-8")]
)
def test_what_cannot_be_a_pin_is_not_tried(hsm: Token, pin: bytes, what: str) -> None:
    with pytest.raises(Error, match=what):
        token.open_key(hsm.uri("issuing"), pin)


def test_a_token_that_goes_away_while_it_is_used_says_so(hsm: Token, tmp_path: Path) -> None:
    key = token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    key.sign(b"", ECDSA)
    shutil.rmtree(tmp_path / "tokens")
    with pytest.raises(Error, match="'The CA' does not answer any more"):
        key.sign(b"", ECDSA)


def test_a_key_of_a_closed_token_signs_no_more_and_another_opening_does(hsm: Token) -> None:
    key = token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    token.close()
    with pytest.raises(Error, match="'The CA' does not answer any more"):
        key.sign(b"", ECDSA)
    token.open_key(hsm.uri("issuing"), PIN).sign(b"", ECDSA)


def test_a_key_of_which_a_copy_may_be_about_is_refused(hsm: Token) -> None:
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    with session(hsm) as beside:
        beside.generate_keypair(
            KeyType.RSA,
            2048,
            store=True,
            label="loose",
            id=b"loose",
            private_template={Attribute.EXTRACTABLE: True},
        )
    with pytest.raises(Error, match="'loose' may be taken out of the token"):
        token.open_key(hsm.uri("loose"), PIN)
    token.open_key(hsm.uri("issuing"), PIN)


def test_a_key_for_something_else_is_refused(hsm: Token) -> None:
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    keep = {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True}
    with session(hsm) as beside:
        for name, curve in (("k1", "secp256k1"), ("fit", "secp256r1")):
            wanted = {Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters(curve)}
            domain = beside.create_domain_parameters(KeyType.EC, wanted, local=True)
            domain.generate_keypair(store=True, label=name, id=name.encode(), private_template=keep)
        beside.generate_keypair(
            KeyType.RSA,
            2048,
            store=True,
            label="opens",
            id=b"opens",
            capabilities=MechanismFlag.DECRYPT | MechanismFlag.ENCRYPT,
            private_template=keep,
        )
    with pytest.raises(Error, match="'opens' of the token 'The CA' is not for signing"):
        token.open_key(hsm.uri("opens"), PIN)
    with pytest.raises(Error, match="'k1' of the token 'The CA' has a type of no use"):
        token.open_key(hsm.uri("k1"), PIN)
    token.open_key(hsm.uri("fit"), PIN).sign(b"", ECDSA)


def test_a_key_that_wants_the_pin_each_time_gets_it(hsm: Token) -> None:
    """As the signing key of a PIV card does."""
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    with session(hsm) as beside:
        wanted = {Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")}
        beside.create_domain_parameters(KeyType.EC, wanted, local=True).generate_keypair(
            store=True,
            label="piv",
            id=b"piv",
            private_template={
                Attribute.EXTRACTABLE: False,
                Attribute.SENSITIVE: True,
                Attribute.ALWAYS_AUTHENTICATE: True,
            },
        )
    key = token.open_key(hsm.uri("piv"), PIN)
    for data in (b"one", b"two"):
        key.public_key().verify(key.sign(data, ECDSA), data, ECDSA)


def test_threads_share_one_login(hsm: Token) -> None:
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    good: list[bytes] = []

    def work(name: bytes) -> None:
        key = token.open_key(hsm.uri("issuing"), PIN)
        for number in range(20):
            data = name + bytes([number])
            key.public_key().verify(key.sign(data, ECDSA), data, ECDSA)
            good.append(data)

    threads = [threading.Thread(target=work, args=(bytes([n]),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(good)) == 80


def test_a_forked_process_opens_the_token_for_itself(hsm: Token) -> None:
    key = token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(Error, match="opened by another process"):
                key.sign(b"", ECDSA)
            token.open_key(hsm.uri("issuing"), PIN).sign(b"", ECDSA)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    key.sign(b"", ECDSA)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("module-path=/nowhere/hsm.so", "no PKCS#11 module /nowhere/hsm.so"),
        ("module-path=/etc/passwd", "/etc/passwd is not a PKCS#11 module that works here"),
        ("module-path=hsm.so", "module-path of the PKCS#11 URI is not absolute"),
        ("module-name=there-is-none", "no PKCS#11 module named there-is-none"),
        ("module-name=../hsm", "module-name of the PKCS#11 URI has a slash"),
    ],
)
def test_a_module_that_is_not_there_or_is_none(hsm: Token, query: str, what: str) -> None:
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    with pytest.raises(Error, match=what) as caught:
        token.open_key(f"pkcs11:token=The%20CA;object=issuing?{query}", PIN)
    assert caught.value.hint


def test_a_module_is_found_by_its_name_and_by_the_environment(
    hsm: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = "pkcs11:token=The%20CA;object=issuing"
    made = token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    by_folder = f"{bare}?module-path={hsm.module.parent}&module-name=softhsm2"
    assert token.open_key(by_folder, PIN).public_key() == made.public_key()
    monkeypatch.setattr(tokenmodule, "FOLDERS", (str(hsm.module.parent),))
    by_name = f"{bare}?module-name=softhsm2"
    assert token.open_key(by_name, PIN).public_key() == made.public_key()
    with pytest.raises(Error, match="names no module") as caught:
        token.open_key(bare, PIN)
    assert tokenmodule.MODULE_VARIABLE in caught.value.hint
    monkeypatch.setenv(tokenmodule.MODULE_VARIABLE, str(hsm.module))
    assert token.open_key(bare, PIN).public_key() == made.public_key()


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("token=The%20CA;object=issuing;type=public", "does not name a private key"),
        ("token=The%20CA", "gives the key no name"),
    ],
)
def test_an_address_that_names_no_key_makes_none(hsm: Token, path: str, what: str) -> None:
    with pytest.raises(Error, match=what):
        token.generate(f"pkcs11:{path}?module-path={hsm.module}", PIN, "ec-p256")


def test_without_python_pkcs11_its_extra_is_named(
    hsm: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pkcs11", None)
        with pytest.raises(Error, match="need python-pkcs11") as caught:
            token.open_key(hsm.uri("issuing"), PIN)
        assert "firmshake[pkcs11]" in caught.value.hint
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")


def test_every_problem_is_one_that_tokens_report_and_has_its_remedy() -> None:
    for name, (message, hint) in tokensession.PROBLEMS.items():
        assert issubclass(getattr(exceptions, name), exceptions.PKCS11Error)
        assert "{}" in message
        assert hint


def test_a_pin_is_shown_by_nothing(hsm: Token) -> None:
    token.generate(hsm.uri("issuing"), PIN, "ec-p256")
    there = list(tokensession._logins.values())
    assert there
    assert PIN.decode() not in repr(there)
