"""The wifi, dns and tcp stages: each passes or raises its Failure."""

import errno

from .failure import Failure

_WIFI_LIMIT_MS = 20000  # scan, association and DHCP on a busy network
SETTLE_MS = 20  # how long a fresh connection is watched for a reset before we speak

# lwIP answers the same for "no such name" and "no answer"; one that took this long was no answer
_DNS_SLOW_MS = 3500

# ENOMEM, ENFILE and ENOBUFS, the last as on Linux and as in newlib: lwIP has no more to give
_NO_MEMORY = (errno.ENOMEM, 23, 105)
_DNS_NO_MEMORY = (-10, -203)  # glibc's EAI_MEMORY, and lwIP's
_EAI_AGAIN = -3  # glibc's number: the name server did not answer

# Cause by errno, where MicroPython's errno has the name; whatever else stops a connect before the
# first answer means that there is no way there.
_TCP = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "refused",  # lwIP's word for a RST in answer to our SYN
    errno.ECONNABORTED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EINPROGRESS: "timeout",  # a blocking connect that ran into its time limit
    errno.EAGAIN: "timeout",
}


def join(runtime: object, identity: object) -> "dict[str, object]":
    """Join the Wi-Fi where there is a radio. The evidence of success; raises Failure."""
    if identity.wifi is None or not runtime.needs_wifi():
        if identity.wifi is not None and not runtime.network_is_given:
            raise Failure("wifi", "no_radio", {"ssid": identity.wifi["ssid"]})
        return {"network": "given"}
    ssid = identity.wifi["ssid"]
    cause, evidence = runtime.join(ssid, identity.wifi.get("password"), _WIFI_LIMIT_MS)
    evidence["ssid"] = ssid
    if cause:
        raise Failure("wifi", cause, evidence)
    return evidence


def resolve(runtime: object, host: str, port: int) -> "list[tuple[str, object]]":
    """The host's addresses as (text, what the runtime connects to), never empty; raises Failure."""
    started = runtime.ticks()
    try:
        found = runtime.resolve(host, port)
    except OSError as error:
        code = error.args[0] if error.args else 0
        slow = runtime.since(started) > _DNS_SLOW_MS
        if code in _DNS_NO_MEMORY:
            raise Failure("dns", "out_of_memory", runtime.heap())
        cause = "timeout" if code in (_EAI_AGAIN, errno.ETIMEDOUT) or slow else "not_found"
        raise Failure("dns", cause, {"host": host, "errno": code})
    if not found:
        raise Failure("dns", "not_found", {"host": host})
    return found


def connect(
    runtime: object, identity: object, addresses: "list[tuple[str, object]]", limit_ms: int
) -> "tuple[object, str]":
    """(non-blocking socket, address) of the first address that answers; raises Failure.

    A name may have addresses that lead nowhere from here (IPv6, mostly): each is tried, for its
    share of the time that is left, and the last one's failure is reported.
    """
    failure = None
    started = runtime.ticks()
    untried = len(addresses)
    for text, target in addresses:
        evidence = {"host": identity.host, "addr": text, "port": identity.port}
        share = (limit_ms - runtime.since(started)) // untried
        untried -= 1
        try:
            sock = runtime.connect(target, max(share, 1))
        except OSError as error:
            code = error.args[0] if error.args else 0
            if code in _NO_MEMORY:
                raise Failure("tcp", "out_of_memory", runtime.heap())
            evidence["errno"] = code
            cause = _TCP.get(code, "unreachable")
            if code == errno.ECONNRESET and runtime.network_is_given:
                cause = "reset"  # a computer tells it from a refusal
            if cause == "timeout":
                evidence["limit_ms"] = limit_ms
            failure = Failure("tcp", cause, evidence)
            continue
        if runtime.wait(sock, True, SETTLE_MS) & runtime.POLL_ERROR:
            runtime.close(sock)
            failure = Failure("tcp", "reset", evidence)
            continue
        return sock, text
    raise failure
