"""What holds for every test: no limits by the clock, no colour, no settings of the developer's."""

import os
import tempfile

import pytest
from hypothesis import settings
from support import polling, stretching

# the machines that run this share their cores: how long an example takes says nothing
settings.register_profile("firmshake", deadline=None)
settings.load_profile("firmshake")

for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "OPENSSL_CONF", "LD_PRELOAD", "FAKETIME"):
    os.environ.pop(name, None)
os.environ["NO_COLOR"] = "1"
# no test sees the virtual boards of another, which runs beside it: nothing is there by itself
_RUNTIME = os.path.join(tempfile.gettempdir(), f"firmshake-tests-{os.getpid()}")
os.environ["FIRMSHAKE_RUNTIME"] = _RUNTIME

stretching.hasten()
polling.hasten()


# what takes minutes is begun first, else all but one of the workers wait for it in the end
_LONGEST = "test_fleet_kills.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != _LONGEST)
