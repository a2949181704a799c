"""How long to wait before the next climb: exponential, with jitter, never below a second.

Does no I/O.
"""

LEAST_MS = 1000
MOST_MS = 64000


def wait_ms(failures: int, random: int) -> int:
    """Milliseconds to wait after so many failed climbs in a row; `random` is 0 to 255.

    The jitter takes up to half off, so that a fleet that lost its broker does not come back as one.
    """
    most = min(LEAST_MS << min(failures, 10), MOST_MS)
    return max(LEAST_MS, most - most * random // 512)
