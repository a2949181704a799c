"""What holds for every test: no limits by the clock, no colour, no settings of the developer's."""

import os
import signal
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from support import boardtools, polling, stretching

# The machines that run this share their cores: how long an example takes says nothing. What checks
# a change (CI) takes the same examples each time, which tells of the change alone; a developer's
# run and `make fuzz` go on searching
settings.register_profile(
    "firmshake",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("firmshake")

# A shell's background job ignores it, and so would each command that a test interrupts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "OPENSSL_CONF", "LD_PRELOAD", "FAKETIME"):
    os.environ.pop(name, None)
os.environ["NO_COLOR"] = "1"
# no test sees the virtual boards of another, which runs beside it: nothing is there by itself
_RUNTIME = os.path.join(tempfile.gettempdir(), f"firmshake-tests-{os.getpid()}")
os.environ["FIRMSHAKE_RUNTIME"] = _RUNTIME
os.environ["ESPTOOL_CFGFILE"] = str(boardtools.ESPTOOL)

stretching.hasten()
polling.hasten()


# what takes minutes is begun first, else all but one of the workers wait for it in the end
_LONGEST = "test_fleet_kills.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != _LONGEST)
