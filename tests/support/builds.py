"""The builds of MicroPython that tests run on: the machine's own word, and a board's 32 bits."""

from __future__ import annotations

import platform

import pytest

from firmshake import tools
from firmshake.errors import Error


def _cannot_have_32() -> bool:
    """Whether this machine's distribution has no 32-bit build: Debian on a PC does."""
    try:
        tools.micropython(32)
    except Error:
        debian = platform.freedesktop_os_release().get("ID") == "debian"
        return not (debian and platform.machine() == "x86_64")
    return False


BITS = pytest.mark.parametrize(
    "bits",
    [
        pytest.param(
            32,
            marks=pytest.mark.skipif(
                _cannot_have_32(), reason="this distribution has no 32-bit MicroPython"
            ),
        ),
        64,
    ],
)
