"""What it costs to try a passphrase: next to nothing in tests, the product's cost on request.

A guess costs 0.1 s on purpose, and the tests open thousands of keys. What a key costs stands in its
file: one that is made in a test's own process is opened as quickly by a firmshake that runs as a
process of its own, and one that such a firmshake makes costs as much as anywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from firmshake.ca import pkcs8

_EARNEST, _QUICK = pkcs8._N, 2


def hasten() -> None:
    """Seal keys quickly from now on, in this process."""
    pkcs8._N = _QUICK


@contextlib.contextmanager
def in_earnest() -> Iterator[None]:
    """Seal keys as the product does."""
    before, pkcs8._N = pkcs8._N, _EARNEST
    try:
        yield
    finally:
        pkcs8._N = before
