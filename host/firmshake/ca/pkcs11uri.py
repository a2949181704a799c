"""The address of a key in a PKCS#11 token: pkcs11:token=...;object=... (RFC 7512). Does no I/O.

The whole syntax is read. What it may say besides which key of which token is refused by name, as
is all that would put a PIN, or a program that prints it, into an argument or a settings file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from firmshake.errors import Error

SCHEME = "pkcs11:"

# section 2.3; those of text, each of which a token, its slot, its library or a key has
TEXTS = (
    "token",
    "manufacturer",
    "serial",
    "model",
    "library-manufacturer",
    "library-version",
    "library-description",
    "object",
    "type",
    "slot-description",
    "slot-manufacturer",
    "slot-id",
)
PATH = (*TEXTS, "id")
QUERY = ("module-path", "module-name")
TYPES = ("public", "private", "cert", "secret-key", "data")

# section 2.3: what stands for itself beside letters, digits and -._~
_EVERYWHERE = ":[]@!$'()*+,="
_IN_PATH = _EVERYWHERE + "&"
_IN_QUERY = _EVERYWHERE + "/?|"
_NUMBERS = {"slot-id": r"[0-9]{1,19}", "library-version": r"[0-9]{1,9}(\.[0-9]{1,9})?"}

_FORM = "write it as pkcs11:token=LABEL;object=NAME, with %20 for a blank"
_NO_PIN = "leave it out: the PIN is asked for, or read as a passphrase is"


@dataclass(frozen=True)
class Pkcs11Uri:
    """What an address says. `texts` are attributes of the path by name, `query` those behind it.

    `id` is the key's CKA_ID, which is octets and not text.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    id: bytes | None = None
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The key's label, "" where the address doesn't tell."""
        return self.texts.get("object", "")

    @property
    def token(self) -> str:
        """The token's label, "" where the address doesn't tell."""
        return self.texts.get("token", "")

    def __str__(self) -> str:
        path = [f"{name}={quote(text, safe='')}" for name, text in self.texts.items()]
        if self.id is not None:
            path.append("id=" + "".join(f"%{octet:02X}" for octet in self.id))
        query = [f"{name}={quote(text, safe='/')}" for name, text in self.query.items()]
        return SCHEME + ";".join(path) + ("?" + "&".join(query) if query else "")


def is_uri(text: str) -> bool:
    """Return whether a text is an address of this scheme, rather than a file's name."""
    return text[: len(SCHEME)].lower() == SCHEME  # RFC 3986 section 3.1: in any case


def parse(text: str) -> Pkcs11Uri:
    """Return what an address says. Raises Error, which never repeats its values."""
    if not is_uri(text):
        raise Error("not a PKCS#11 URI", _FORM)
    path, mark, query = text[len(SCHEME) :].partition("?")
    values = _attributes(path, ";", _IN_PATH, PATH)
    asked = _attributes(query, "&", _IN_QUERY, QUERY) if mark else {}
    key_id = values.pop("id", None)
    texts = {name: _text(name, value) for name, value in values.items()}
    _check(texts)
    return Pkcs11Uri(texts, key_id, {name: _text(name, value) for name, value in asked.items()})


def _attributes(
    text: str, separator: str, reserved: str, known: tuple[str, ...]
) -> dict[str, bytes]:
    """The attributes of one half by name, with %41 and the like resolved."""
    value = re.compile(rf"(?:[A-Za-z0-9._~{re.escape(reserved)}-]|%[0-9A-Fa-f]{{2}})*")
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else []:
        name, equals, rest = part.partition("=")
        if name in ("pin-value", "pin-source"):
            raise Error(f"a PKCS#11 URI with {name} is not taken", _NO_PIN)
        if not equals or name not in known:
            raise Error(_unknown(name, bool(equals)), f"known are {', '.join((*PATH, *QUERY))}")
        if name in found:
            raise Error(f"the PKCS#11 URI has {name} twice", "leave one of them")
        if not value.fullmatch(rest):
            raise Error(
                f"{name} of the PKCS#11 URI has a character that must be written as %xx",
                "write a blank as %20, a semicolon as %3B, a percent sign as %25",
            )
        found[name] = unquote_to_bytes(rest)
    return found


def _unknown(name: str, has_value: bool) -> str:
    # only what can be a name is repeated: the rest may be anything, a PIN too
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        return "a part of the PKCS#11 URI is no NAME=VALUE"
    return f"the PKCS#11 URI has {name}, " + (
        "which is not known" if has_value else "without a value"
    )


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise Error(f"{name} of the PKCS#11 URI is not UTF-8", _FORM) from None
    if not text or not text.isprintable():
        raise Error(f"{name} of the PKCS#11 URI is empty or has control characters", _FORM)
    return text


def _check(texts: Mapping[str, str]) -> None:
    for name, pattern in _NUMBERS.items():
        if name in texts and not re.fullmatch(pattern, texts[name]):
            raise Error(f"{name} of the PKCS#11 URI is not a number", f"leave {name} out")
    if texts.get("type", TYPES[1]) not in TYPES:
        raise Error("type of the PKCS#11 URI is not known", f"known are {', '.join(TYPES)}")
