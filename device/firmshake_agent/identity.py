"""The identity stage: settings, key, certificate and trust anchor are there and belong together."""

import json

from . import der, x509
from .der import BadDer
from .failure import Failure

SETTINGS = "settings.json"
# with the ending of the form that the runtime wants, `.der` or `.pem`
KEY = "key"
CERTIFICATE = "cert"
ANCHORS = "ca"

VERSION = 1  # of the settings' format
LIMIT_MS = 15000  # of one network stage: an RSA handshake on a slow board takes 3 s

# field of settings.json: (types, needed)
_FIELDS = {
    "device": (str, True),
    "host": (str, True),
    "port": (int, True),
    "server_name": (str, False),
    "wifi": (dict, False),
    "ntp": (list, False),
    "floor": (int, False),
    "keepalive": (int, False),
    "limit_ms": (int, False),
    "transport": (str, False),
    "path": (str, False),
    "alpn": (str, False),
    "sni": (str, False),
}

TRANSPORTS = ("mqtts", "wss")

_MOST = {"port": 65535, "keepalive": 65534}  # MiniMQTT takes less than 65535


class Identity:
    """A board's settings and identity; `context` is the runtime's, ready for a handshake."""

    def __init__(self, settings: "dict[str, object]") -> None:
        self.device = settings["device"]
        self.host = settings["host"]
        self.port = settings["port"]
        self.server_name = settings.get("server_name") or self.host
        self.wifi = settings.get("wifi")
        self.ntp = settings.get("ntp") or []
        self.floor = settings.get("floor") or 0
        self.keepalive = settings.get("keepalive") or 60
        self.limit_ms = settings.get("limit_ms") or LIMIT_MS
        self.transport = settings.get("transport") or TRANSPORTS[0]
        self.path = settings.get("path") or "/mqtt"  # of the WebSocket
        self.alpn = settings.get("alpn")
        self.sni = settings.get("sni")  # where it is not the name to verify
        self.chain = []  # DER, the board's own certificate first
        self.anchors = []  # DER
        self.context = None


def load(runtime: object, source: object) -> Identity:
    """Read and check everything; `source.read(name)` gives a file's bytes or raises OSError.

    Raises Failure with stage identity. A board without key and certificate is let through: whether
    one is needed is the broker's to say.
    """
    identity = Identity(_settings(_read(source, SETTINGS)))
    if identity.wifi is None and runtime.needs_wifi() and not runtime.network_is_given:
        raise _failure("config_invalid", detail="no [wifi] for a board with Wi-Fi")
    for extra in ("alpn", "sni"):
        if getattr(identity, extra) and extra not in runtime.extras:
            raise _failure("config_invalid", detail="this firmware cannot set " + extra)
    form = runtime.form
    identity.anchors = _certificates(_read(source, ANCHORS + form), "bad_ca")
    key = None
    try:
        key = source.read(KEY + form)
    except OSError:
        pass  # without a key there must be no certificate either
    if key is not None or _exists(source, CERTIFICATE + form):
        if key is None:
            raise _failure("file_missing", file=KEY + form)
        identity.chain = _certificates(_read(source, CERTIFICATE + form), "bad_certificate")
        _check_key(key, x509.Certificate(identity.chain[0]))
    identity.context = _context(runtime, identity, key)
    return identity


def check_dates(identity: Identity, now: int, doubtful: bool) -> None:
    """Hold the board's own certificate against the time. Raises Failure with stage identity.

    A doubtful clock can only be slow: what has expired by it has expired, and what it calls early
    may be valid by now.
    """
    if not identity.chain:
        return
    own = x509.Certificate(identity.chain[0])
    evidence = {
        "subject": own.subject,
        "not_before": x509.date(own.not_before),
        "not_after": x509.date(own.not_after),
        "now": x509.date(now),
    }
    if now > own.not_after:
        raise Failure("identity", "expired", evidence)
    if now < own.not_before and not doubtful:
        raise Failure("identity", "not_yet_valid", evidence)


def _settings(data: bytes) -> "dict[str, object]":
    try:
        settings = json.loads(data)
    except ValueError:
        raise _failure("config_invalid", detail="settings.json is not JSON")
    if not isinstance(settings, dict):
        raise _failure("config_invalid", detail="settings.json is not an object")
    if settings.get("v") != VERSION:
        raise _failure("config_invalid", detail="settings.json is of another version")
    for key, (kind, needed) in _FIELDS.items():
        value = settings.get(key)
        if value is None and not needed:
            continue
        good = isinstance(value, kind) and not isinstance(value, bool) and value != ""
        if not good or (kind is int and not 0 <= value <= _MOST.get(key, value)):
            raise _failure("config_invalid", detail="%s is missing or wrong" % key)
    if not settings["port"]:
        raise _failure("config_invalid", detail="port 0 is not a port")
    if settings.get("transport") not in TRANSPORTS + (None,):
        raise _failure("config_invalid", detail="transport is neither mqtts nor wss")
    wifi = settings.get("wifi")
    if wifi is not None and not _is_text(wifi.get("ssid")):
        raise _failure("config_invalid", detail="wifi has no ssid")
    if wifi and wifi.get("password") and not _is_text(wifi["password"]):
        raise _failure("config_invalid", detail="wifi password is no text")
    for server in settings.get("ntp") or ():
        if not _is_text(server):
            raise _failure("config_invalid", detail="ntp names no server")
    return settings


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _read(source: object, name: str) -> bytes:
    try:
        return source.read(name)
    except OSError:
        raise _failure("file_missing", file=name)


def _exists(source: object, name: str) -> bool:
    try:
        source.read(name)
        return True
    except OSError:
        return False


def _certificates(data: bytes, cause: str) -> "list[bytes]":
    try:
        parts = der.split(der.unarmoured(data, b"CERTIFICATE"))
        for part in parts:
            x509.Certificate(part)
    except BadDer as error:
        raise _failure(cause, detail=str(error))
    if not parts:
        raise _failure(cause, detail="empty")
    return parts


def _check_key(key: bytes, certificate: x509.Certificate) -> None:
    try:
        if b"ENCRYPTED" not in key:
            key = der.unarmoured(key, b"PRIVATE KEY")
        public = x509.public_part(key)
    except x509.EncryptedKey:
        raise _failure("encrypted_key")
    except BadDer as error:
        raise _failure("bad_key", detail=str(error))
    if public is not None and not x509.belongs(public, certificate):
        raise _failure("key_mismatch", subject=certificate.subject)


def _context(runtime: object, identity: Identity, key: "bytes | None") -> object:
    # the runtime has the last word on what it can load; each call loads one kind
    context = runtime.context(identity.alpn)
    for cause, load_one, arguments in (
        ("bad_ca", runtime.load_anchors, (identity.anchors,)),
        ("bad_key", runtime.load_identity, (identity.chain, key)),
    ):
        if not arguments[0]:
            continue
        try:
            load_one(context, *arguments)
        except (ValueError, OSError) as error:
            text = str(error)
            if cause == "bad_key" and "cert" in text:
                cause = "bad_certificate"
            raise _failure(cause, detail=text[:60])
    return context


def _failure(cause: str, **evidence: object) -> Failure:
    return Failure("identity", cause, evidence)
