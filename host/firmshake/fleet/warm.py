"""What every worker needs, loaded and made once, by the process that forks them.

Importing this is what does it. What can't be made is told by each worker that wants it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib

from firmshake import bundle
from firmshake.errors import Error
from firmshake.repl import programs

_SLOW_TO_LOAD = (
    "cryptography.hazmat.primitives.asymmetric.ec",
    "encodings.idna",
    "firmshake.circuitpython",
    # where a program of ours is a script, each worker runs it once more, as a module
    "firmshake.cli",
    "firmshake.fleet.worker",
    "littlefs",
    "platformdirs.unix",
    "serial.rfc2217",
    "serial.tools.list_ports",
    "serial.urlhandler.protocol_rfc2217",
)

for _name in _SLOW_TO_LOAD:
    with contextlib.suppress(ImportError):  # not on every system
        importlib.import_module(_name)
with contextlib.suppress(Error, OSError):
    bundle.agent_files()
    for _program in ("about", "survey"):
        programs.program(_program)
# workers share what is there for as long as nobody writes to it
gc.collect()
gc.freeze()
