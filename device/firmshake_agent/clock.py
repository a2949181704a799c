"""The clock stage: a plausible time, from NTP, from the runtime, or from the provisioning stamp.

A certificate's dates mean nothing to a board that believes it is 2000. The floor is the time of
provisioning: the true time is that or later, and certificates made then are valid from then on.
"""

from . import x509
from .failure import Failure

_NTP_EPOCH = 2208988800  # seconds from 1900 to 1970 (RFC 5905, 6)
_ROLLOVER = 4294967296  # the 32 bits of an NTP timestamp come round in 2036
# Boards wake in 2000 or 2021; without a floor, a clock behind this one was set by somebody.
_EARLIEST = 1735689600  # 2025-01-01
_LIMIT_MS = 1500  # for one server: an answer takes a few ms, or never comes


class Clock:
    """What the board knows of the time.

    `source`: `host` (the computer's own), `ntp`, `rtc` (kept from before) or `floor`; `doubtful`:
    no time server confirmed it, so the true time may be later.
    """

    def __init__(self, source: str, doubtful: bool) -> None:
        self.source = source
        self.doubtful = doubtful


def settle(runtime: object, identity: object, report: object) -> Clock:
    """Set the clock as well as it can be set. Raises Failure with stage clock."""
    if runtime.clock_is_kept:
        if runtime.now() < identity.floor:
            return Clock("host", True)  # nobody but its owner sets a computer's clock
        return Clock("host", False)
    for server in identity.ntp:
        seconds = ask(runtime, server)
        if seconds is not None and seconds >= identity.floor:
            runtime.set_now(seconds)
            return Clock("ntp", False)
    source = "rtc"
    if runtime.now() < identity.floor:
        runtime.set_now(identity.floor)
        source = "floor"
    elif not identity.floor and runtime.now() < _EARLIEST:
        raise Failure("clock", "not_set", {"now": x509.date(runtime.now())})
    if identity.ntp:
        servers = ", ".join(identity.ntp)
        evidence = {"servers": servers, "clock": source, "now": x509.date(runtime.now())}
        report.warn("clock", "ntp_unreachable", evidence)
    return Clock(source, True)


def ask(runtime: object, server: str) -> "int | None":
    """One NTP client request (RFC 5905, mode 3): Unix seconds, or None where no good answer came.

    `server` is a name or an IPv4 address, with `:port` behind it where that is not 123.
    """
    host, _, port = server.partition(":")
    try:
        answer = runtime.exchange(host, int(port or 123), b"\x1b" + bytes(47), _LIMIT_MS)
    except (OSError, ValueError):  # ValueError: what stands behind the ":" is no port
        return None
    return read_answer(answer)


def read_answer(answer: "bytes | None") -> "int | None":
    """Unix seconds from a server's packet, or None for one that is none or is not synchronised."""
    # mode 4 (server), stratum 1 to 15, leap indicator not 3: RFC 5905, 7.3
    if not answer or len(answer) < 48 or answer[0] & 7 != 4 or answer[0] >> 6 == 3:
        return None
    if not 0 < answer[1] < 16:
        return None
    seconds = 0
    for byte in answer[40:44]:
        seconds = seconds << 8 | byte
    if seconds == 0:
        return None
    if seconds < _ROLLOVER // 2:
        seconds += _ROLLOVER
    return seconds - _NTP_EPOCH
