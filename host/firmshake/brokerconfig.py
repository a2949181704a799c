"""The configuration of a mosquitto that lets in the fleet's devices, and nobody else.

Does no I/O.
"""

from __future__ import annotations

from firmshake import watcher
from firmshake.endpoint import is_loopback

DEVICES_ACL = """\
# A device may use the topics below devices/<its own id>/ and no other. mosquitto puts the common
# name of the client's certificate in place of %u, so this one line does for the whole fleet.
pattern readwrite devices/%u/#
"""

# the pattern is for all clients: a refusal, which comes before it, keeps the watcher from writing
WATCHER_ACL = f"""\
# firmshake fleet watch reads what the devices report, and nothing else. No device is called so.
user {watcher.NAME}
topic read {watcher.TOPICS}
topic deny devices/{watcher.NAME}/#
"""

ACL = f"{DEVICES_ACL}\n{WATCHER_ACL}"

# reports of a large fleet, some 600 bytes each
QUEUED, _QUEUED_BYTES = 100_000, 64 * 1024 * 1024
# what a power cut may cost of them; mosquitto's own is half an hour
_SAVED_S = 300

_IN_FOLDER = """\
# Start mosquitto in this folder, for the file names below are relative to it:
#     cd broker && mosquitto -c mosquitto.conf

"""


def mosquitto_conf(host: str, port: int, user: str, folder: str = "") -> str:
    """Return the mosquitto.conf of a broker that devices reach as `host`, run by the user `user`.

    `folder` is where the files that it names will be. By itself they are relative to the folder in
    which mosquitto is started: mosquitto reads them so, and the project can be moved or copied to
    another computer.
    """
    # nobody else can reach a broker whose name is this computer's own, so nobody else need see it
    listener = f"{port} {host}" if is_loopback(host) else f"{port}"
    start, at = ("", f"{folder}/") if folder else (_IN_FOLDER, "")
    # by itself it is the folder in which mosquitto is started
    saved = f"persistence_location {at}\n" if at else ""
    return f"""\
{start}# Has an effect only where mosquitto is started by root. It would then become the user
# "mosquitto", who may not read the key in this folder. Name another user here and give them the
# files:
#     chown -R USER {folder or "broker"}
user {user}

listener {listener}

# Who we are: the broker's certificate with the intermediate CA's behind it, and its key, all in one
# file, so that they are renewed in one step
certfile {at}broker.pem
keyfile {at}broker.pem

# Whom we let in: clients with a certificate that leads to the fleet's root CA. The certificate's
# common name, the device id, is the user name; it is the client id too, so that no device can take
# over another's session.
cafile {at}ca.crt
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false

# Whom we turn away all the same: devices whose certificate is on this list of the revoked. A new
# list counts from SIGHUP on. Replace it in one step (mv), and never take it away: without it,
# mosquitto would let the revoked in after SIGHUP, and would not start. Once it has run out, nobody
# gets in: firmshake ca crl makes a new one.
crlfile {at}crl.pem

acl_file {at}acl

# What may wait for a client that is slow, or away: mosquitto's own 1000 messages are too few when a
# whole fleet connects at once, and firmshake fleet watch is to hear all of it, also what came while
# it did not run. Never 0, for no limit: mosquitto 2.0 would then put out who publishes where they
# may not.
max_queued_messages {QUEUED}
max_queued_bytes {_QUEUED_BYTES}

# What waits is kept over a restart, in mosquitto.db: written when mosquitto ends, and every
# {_SAVED_S // 60} minutes. A client that has not come back for a month is forgotten.
persistence true
{saved}autosave_interval {_SAVED_S}
persistent_client_expiration 1m
"""
