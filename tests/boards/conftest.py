"""Real hardware, opt in: `make boards PORT=/dev/ttyUSB0 PROJECT=FOLDER PASSPHRASE=FILE`.

The board's filesystem is replaced. PROJECT is a folder made by `firmshake init` whose broker is
running and whose Wi-Fi the board can reach; PASSPHRASE is a file with the CA's passphrase.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def _given(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.exit(f"these tests need a board: set {name} (see tests/boards/conftest.py)", 2)
    return value


@pytest.fixture(scope="session")
def port() -> str:
    """The board's port, as pyserial takes it."""
    return _given("PORT")


@pytest.fixture(scope="session")
def project() -> Path:
    """The project folder."""
    return Path(_given("PROJECT"))


@pytest.fixture(scope="session")
def passphrase() -> Path:
    """The file with the CA's passphrase."""
    return Path(_given("PASSPHRASE"))
