"""The one table of all faults, by name."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from difflib import get_close_matches

from firmshake import tools
from firmshake.errors import Error
from firmshake.faults import certificates, clients, hello, network, oddtls, sessions
from firmshake.faults.case import MOSQUITTO, TLSLITE, Case

_ORDER = (sessions.cases(), network.cases(), hello.cases(), certificates.cases(), clients.cases())

CASES: dict[str, Case] = {case.name: case for cases in _ORDER for case in cases}


def chosen(names: Sequence[str]) -> list[Case]:
    """The cases of these names or patterns (`ws-*`), all where there are none.

    Raises Error for one that fits no case.
    """
    if not names:
        return list(CASES.values())
    found: dict[str, Case] = {}
    for name in names:
        fitting = fnmatch.filter(CASES, name)
        if not fitting:
            near = get_close_matches(name, CASES, 1)
            hint = f"did you mean {near[0]}?" if near else "firmshake faults serve --list has all"
            raise Error(f"there is no fault {name!r}", hint=hint, status=2)
        found |= {fit: CASES[fit] for fit in fitting}
    return list(found.values())


def missing(case: Case) -> Error | None:
    """What this computer lacks to serve the case, or None."""
    try:
        if case.needs == MOSQUITTO:
            tools.mosquitto()
        elif case.needs == TLSLITE:
            oddtls.check()
    except Error as error:
        return error
    return None
