"""Finds secrets that nobody has told of: by the words before them, and by their form.

Keys are told by the first bytes of their DER: a sequence that begins with a version is a private
key (PKCS#1, PKCS#8, SEC 1) or a PKCS#12 file; certificates, requests and CRLs begin with another
sequence. Does no I/O.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from firmshake.supportbundle.textview import Span, TextView

# settings, variables and columns whose values are secret
SECRET_NAME = re.compile(
    r"pass(?:word|wd|phrase|code)|psk|secret|token(?!s?_?type)|api_?-?key|credential|private_?-?key"
    r"|pin-(?:value|source)|(?:^|_)(?:pass|pin)$",
    re.IGNORECASE,
)
# what stands behind such a name and is no secret: taken out everywhere, it would spoil the rest
_HARMLESS = frozenset(["true", "false", "null", "none", "yes", "no", "your", "optional"])

_KEY_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
# the rest of one whose beginning was cut off: lines of base64 up to its end
_CUT_PEM = re.compile(
    r"(?:[A-Za-z0-9+/=]{1,76}(?:\s|\\[rn])+){1,400}-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----"
)
# The value behind a secret's name: in quotes, or to the end of the line. A verdict is no name.
_NAMED = re.compile(
    r"(?<!wrong_)(?:pass(?:word|wd|phrase|code)|\bpsk|secret|token(?!s?_?type)|api[_-]?key"
    r"|credentials?|private[_-]?key|\bPIN|_PASS)[\w.-]{0,20}"
    r"(?:\\*[\"'])?[ \t]*(?:=>|[:=])[ \t]*"
    r"(?:\\*\"(?P<double>(?:[^\"\\\n]|\\[^\"\n])*)\\*\"|'(?P<single>(?:[^'\\\n]|\\.)*)'"
    r"|(?P<bare>[^\s,;&}\"'\\][^\n,;&}\"]*))",
    re.IGNORECASE,
)
_OTHERS = (
    # a password in a URL (RFC 3986, 3.2.1)
    re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:\"']*:(?P<value>[^\s/\"']*)@"),
    # RFC 7512, 2.4
    re.compile(r"\bpin-(?:value|source)=(?P<value>[^&?\s\"';]+)"),
    # RFC 6750, RFC 7617
    re.compile(r"(?i:\b(?:bearer|basic)\s+)(?P<value>[A-Za-z0-9._~+/=-]{8,})"),
    # RFC 7519
    re.compile(r"\b(?P<value>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"),
)

_DER_BASE64 = re.compile(r"(?=(M[A-Za-z0-9+/_-]{15}))")
_DER_HEX = re.compile(r"30(?:[0-7][0-9a-f]|81[0-9a-f]{2}|82[0-9a-f]{4})02010[013]")
_VERSIONS = (b"\x02\x01\x00", b"\x02\x01\x01", b"\x02\x01\x03")
_LEAST_DER, _MOST_DER = 40, 20_000


def found(text: str) -> Iterator[Span]:
    """Yield where something stands in the text that looks like a secret."""
    for pattern in (_KEY_PEM, _CUT_PEM):
        yield from (match.span() for match in pattern.finditer(text))
    for match in _NAMED.finditer(text):
        yield match.span(match.lastgroup or 0)
    for pattern in _OTHERS:
        yield from (match.span("value") for match in pattern.finditer(text))


def keys_in(squashed: TextView) -> Iterator[Span]:
    """Yield where keys in base64 or hex stand in the first text, by a view of it without gaps."""
    for match in _DER_BASE64.finditer(squashed.text):
        length = _key_length(_decoded(match[1]))
        if length:
            end = min(match.start() + -(-length // 3) * 4, len(squashed.text))
            yield squashed.origin(match.start(), end)
    lower = squashed.lower()
    for match in _DER_HEX.finditer(lower.text):
        length = _key_length(bytes.fromhex(match[0]))
        if length:
            yield lower.origin(match.start(), min(match.start() + 2 * length, len(lower.text)))


def values(text: str) -> Iterator[str]:
    """Yield what stands behind the names of secrets in a text, without its quotes."""
    for match in _NAMED.finditer(text):
        value = match[match.lastgroup or 0].strip()
        if value.lower() not in _HARMLESS:
            yield value


def _decoded(characters: str) -> bytes:
    try:
        return base64.b64decode(characters.translate(str.maketrans("-_", "+/")))
    except binascii.Error:
        return b""


def _key_length(data: bytes) -> int:
    """How many bytes the private key has whose DER begins so; 0 where it is none (X.690, 8.1)."""
    if len(data) < 5 or data[0] != 0x30:
        return 0
    head = {0x81: 3, 0x82: 4}.get(data[1], 2)
    if head == 2 and data[1] > 0x7F:
        return 0
    length = data[1] if head == 2 else int.from_bytes(data[2:head])
    whole = head + length
    known = data[head : head + 3] in _VERSIONS
    return whole if known and _LEAST_DER <= whole <= _MOST_DER else 0
