"""Who the fleet's watcher is to a broker, and the one thing that it may do there. Does no I/O.

It reads what boards report of themselves, `devices/<id>/diag`, and nothing else; it publishes
nothing. Its certificate is the fleet's CA's, as a device's is, and its common name is what the
broker's rules know it by.
"""

from __future__ import annotations

# No device can be called so: an id begins with a letter or a digit. So no project that there is
# has a device of this name already, and no rule for devices is the watcher's.
NAME = "_fleet-watch"

TOPICS = "devices/+/diag"

# among the alternative names of its certificate, where a device has urn:firmshake:device:ID
URI = "urn:firmshake:fleet-watch"
