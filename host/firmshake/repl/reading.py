"""A small file of a board, read over its raw REPL."""

from __future__ import annotations

import base64

from firmshake.errors import Error
from firmshake.repl.rawrepl import RawRepl

# a piece at a time, since a board may be short of memory
_READ = """\
import binascii
try:
 with open({path!r}, "rb") as f:
  while True:
   b = f.read(192)
   if not b:
    break
   print(str(binascii.b2a_base64(b), "ascii"), end="")
except OSError:
 print("none")
"""


def read(repl: RawRepl, path: str) -> bytes | None:
    """Return a small file of the board, None where it has none. Raises Error."""
    said = repl.run(_READ.format(path=path)).split()
    if said == ["none"]:
        return None
    try:
        return b"".join(base64.b64decode(line, validate=True) for line in said)
    except ValueError:
        raise Error(
            f"what the board on {repl.wire.name} sent was garbled",
            hint="check the cable, then run the same command again",
        ) from None
