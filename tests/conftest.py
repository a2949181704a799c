"""What holds for every test: no limits by the clock, no colour, no settings of the developer's."""

import os
import tempfile

from hypothesis import settings
from support import stretching

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
