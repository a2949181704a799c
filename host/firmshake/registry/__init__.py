"""The registry: what was issued to whom, how far each device has come, and the log of it all."""

from firmshake.registry.record import CertificateRecord, Change, CrlRecord, DeviceRecord, Issued
from firmshake.registry.schema import STATES
from firmshake.registry.store import Registry

__all__ = [
    "STATES",
    "CertificateRecord",
    "Change",
    "CrlRecord",
    "DeviceRecord",
    "Issued",
    "Registry",
]
