"""Which new passphrases are refused because they are tried first."""

import pytest

from firmshake.ca.guessing import COMMON, is_obvious


@pytest.mark.parametrize(
    "passphrase",
    [
        "password",
        "Passw0rd!",
        "P@ssw0rd1",
        "passwords",
        "12345678",
        "0987654321",
        "aaaaaaaaaaaa",
        "abababab",
        "abcdefgh1",
        "qwertyuiop",
        "1q2w3e4r",
        "firmshake-2026",
        "Micropython",
        *(f"{word}2026!" for word in sorted(COMMON)),
    ],
)
def test_what_is_tried_first_is_refused(passphrase: str) -> None:
    assert is_obvious(passphrase.encode())


@pytest.mark.parametrize(
    "passphrase",
    [
        "correct horse",
        "battery staple",
        "пароль phrase",
        "my password is long",
        "7h3-k1ln-sw4ll0w",
        "\udcff\udcfeabcdefg",
    ],
)
def test_others_are_not(passphrase: str) -> None:
    assert not is_obvious(passphrase.encode("utf-8", "surrogateescape"))
