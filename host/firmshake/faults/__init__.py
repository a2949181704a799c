"""A broker that fails on purpose: every fault of server and network, each on a port of its own.

with Faults(["expired", "tcp-reset"]) as faults:
port = faults.port("expired", "1.3")
"""

from firmshake.faults.case import Case
from firmshake.faults.catalogue import CASES, chosen, missing
from firmshake.faults.pki import CLIENT
from firmshake.faults.served import Faults, Row

__all__ = ["CASES", "CLIENT", "Case", "Faults", "Row", "chosen", "missing"]
