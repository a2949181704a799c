"""The certificate profiles: what the shipped file says, and that a wrong one is refused."""

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from firmshake.ca import profiles
from firmshake.errors import Error

TEXT = (Path(__file__).parents[2] / "certs" / "profiles.toml").read_text("utf-8")


def test_each_lives_within_its_issuer() -> None:
    every = profiles.load()
    assert every.root.validity > every.intermediate.validity > every.device.validity
    assert every.device.validity > every.broker.validity


def test_the_path_allows_one_intermediate_and_only_cas_have_a_path_length() -> None:
    every = profiles.load()
    assert (every.root.path_length, every.intermediate.path_length) == (1, 0)
    assert not every.broker.is_ca
    assert not every.device.is_ca


def test_a_device_is_no_server_and_a_broker_no_client() -> None:
    every = profiles.load()
    assert every.device.extended_key_usage == ("clientAuth",)
    assert every.broker.extended_key_usage == ("serverAuth",)


def test_every_value_has_its_source_in_a_comment_before_it() -> None:
    """Except backdate_s and key, whose reason stands at the top for all four."""
    lines = TEXT.split("[root]", 1)[1].splitlines()
    for above, line in itertools.pairwise(lines):
        if line.startswith(("validity_days", "path_length")):
            assert above.startswith("#"), line


def test_a_changed_value_is_taken_up() -> None:
    changed = profiles.parse(TEXT.replace("validity_days = 397", "validity_days = 30"))
    assert changed.broker.validity == timedelta(days=30)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("validity_days = 397", "validity_days = 0", "validity_days in [broker]"),
        ("validity_days = 397", 'validity_days = "long"', "validity_days in [broker]"),
        ('key = "ec-p256"', 'key = "rsa-512"', "key in [root]"),
        ('["serverAuth"]', '["everything"]', "extended_key_usage in [broker]"),
        ("path_length = 0", "", "path_length in [intermediate]"),
        ("[device]", "[devices]", "[device]"),
        ("[device]", "[device", "line"),
    ],
)
def test_a_wrong_value_is_refused_by_name(old: str, new: str, named: str) -> None:
    assert profiles.parse(TEXT)
    with pytest.raises(Error) as caught:
        profiles.parse(TEXT.replace(old, new))
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("table", "old", "new", "named"),
    [
        ("root", "path_length = 1", "path_length = 0", "path_length in [root]"),
        ("intermediate", "path_length = 0", "path_length = 1", "path_length in [root]"),
        ("root", '"keyCertSign", ', "", "key_usage in [root] must hold keyCertSign"),
        ("root", ', "cRLSign"', "", "key_usage in [root] must hold cRLSign"),
        ("intermediate", '"keyCertSign", ', "", "in [intermediate] must hold keyCertSign"),
        ("intermediate", ', "cRLSign"', "", "in [intermediate] must hold cRLSign"),
        ("intermediate", "usage = []", 'usage = ["serverAuth"]', "in [intermediate] must be"),
        ("device", '"digitalSignature"', "", "key_usage in [device] must hold digitalSignature"),
        ("device", '["dig', '["keyCertSign", "dig', "[device] must not hold keyCertSign"),
        ("broker", '["dig', '["cRLSign", "dig', "[broker] must not hold cRLSign"),
        ("device", '["clientAuth"]', '["clientAuth", "serverAuth"]', "must be clientAuth alone"),
        ("device", '["clientAuth"]', "[]", "must be clientAuth alone"),
        ("broker", '["serverAuth"]', '["clientAuth"]', "must be serverAuth alone"),
        ("broker", '"digitalSignature"', '"keyEncipherment"', "must hold digitalSignature"),
    ],
)
def test_a_pki_that_would_not_work_or_allow_too_much_is_refused(
    table: str, old: str, new: str, named: str
) -> None:
    before, mark, behind = TEXT.partition(f"\n[{table}]\n")
    assert old in behind
    with pytest.raises(Error) as caught:
        profiles.parse(before + mark + behind.replace(old, new, 1))
    assert named in caught.value.message


def test_further_usages_that_do_no_harm_are_taken() -> None:
    """An RSA key of a broker is encrypted to by clients of TLS 1.2 without ECDHE."""
    usage = '["digitalSignature", "keyEncipherment"]'
    every = profiles.parse(TEXT.replace('["digitalSignature"]', usage))
    assert every.broker.key_usage == ("digitalSignature", "keyEncipherment")
    deep = TEXT.replace("path_length = 1", "path_length = 3")
    assert profiles.parse(deep).root.path_length == 3


SHORT = "\n[profile.short]\nvalidity_days = 90\n"


def test_a_further_profile_of_devices_is_as_the_usual_one_but_for_what_it_says() -> None:
    every = profiles.parse(TEXT + SHORT)
    short = every.of_device("short")
    assert short.validity == timedelta(days=90)
    usual = every.of_device(None)
    assert replace(short, name=usual.name, validity=usual.validity) == usual
    assert every.of_device("device") == usual == profiles.load().device
    assert not profiles.load().devices


def test_a_profile_that_is_not_there_is_refused_with_those_that_are() -> None:
    every = profiles.parse(TEXT + SHORT)
    with pytest.raises(Error, match="'shirt'") as caught:
        every.of_device("shirt")
    assert "short" in caught.value.hint
    with pytest.raises(Error) as caught:
        profiles.load().of_device("other")
    assert "profile.NAME" in caught.value.hint


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ('[profile.a]\nextended_key_usage = ["serverAuth"]', "[profile.a] must be clientAuth"),
        ('[profile.a]\nkey_usage = ["keyCertSign"]', "[profile.a] must hold digitalSignature"),
        ("[profile.a]\nvalidity_days = 0", "validity_days in [profile.a]"),
        ("[profile.a]\npath_length = 0", "path_length in [profile.a]"),
        ("[profile.a]\nvalid_days = 1", "'valid_days' in [profile.a]"),
        ("[profile]\na = 1", "[profile.NAME]"),
        ('[profile."a b"]', "'a b'"),
        ("[profile.device]", "'device'"),
    ],
)
def test_a_further_profile_may_do_no_more_than_the_usual_one(table: str, named: str) -> None:
    assert profiles.parse(TEXT + SHORT)
    with pytest.raises(Error) as caught:
        profiles.parse(TEXT + "\n" + table + "\n")
    assert named in caught.value.message + caught.value.hint


def test_the_example_in_the_file_is_right() -> None:
    example = TEXT.rpartition("# [profile.short]")
    text = TEXT + "".join(example[1:]).replace("# ", "")
    assert profiles.parse(text).of_device("short").validity == timedelta(days=90)
