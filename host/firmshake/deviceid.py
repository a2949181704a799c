"""What a device's name may be, and the name that a board gets by itself.

A device id is used as certificate common name, MQTT client id, topic level and file name, so it has
to be legal as each of them. Does no I/O.
"""

from __future__ import annotations

import re

from firmshake.errors import Error

# RFC 5280 appendix A: ub-common-name
LONGEST = 64

# Letters and digits are what every MQTT broker takes in a client id (MQTT 3.1.1, 3.1.3.1). Dot,
# hyphen and underscore are legal in a topic level, a file name and a URN as well; no id begins with
# one of them, so none is a hidden file or reads as an option.
_LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check(device_id: str) -> str:
    """Return `device_id` as it is; raise Error where it can't be a device's id."""
    if not _LEGAL.fullmatch(device_id):
        raise Error(
            f"{device_id!r} can't be a device id",
            hint="use letters, digits, '.', '-' and '_', and begin with a letter or digit",
        )
    if len(device_id) > LONGEST:
        raise Error(
            f"the device id {device_id} has {len(device_id)} characters",
            hint=f"a certificate's common name holds {LONGEST} at most",
        )
    return device_id


def is_legal(device_id: str) -> bool:
    """Return whether `check` takes it."""
    return bool(_LEGAL.fullmatch(device_id)) and len(device_id) <= LONGEST


def default_id(prefix: str, mac: str) -> str:
    """Return the id of a board by its MAC address or other unique id, as `prefix-a0b1c2d3e4f5`.

    `mac` is hexadecimal, with or without ":" or "-" between the bytes. Raises Error where `mac` is
    not, or where the outcome can't be a device id.
    """
    digits = re.sub(r"[:-]", "", mac).lower()
    if not re.fullmatch(r"(?:[0-9a-f]{2}){4,16}", digits):
        raise Error(f"{mac!r} is not a hardware address", hint="give the device an id of its own")
    return check(f"{prefix}-{digits}" if prefix else digits)
