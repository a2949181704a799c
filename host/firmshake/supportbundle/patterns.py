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

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")
# The longest of PEM, an RSA key of 16384 bits; and what it is made of between its two lines, with
# what a text makes of line ends, and the headers of an old encrypted one
_LONGEST_PEM = 20_000
_BODY = "".join(map(chr, (*range(48, 58), *range(65, 91), *range(97, 123)))) + "+/= \t\r\n\\"
_HEADERS = _BODY + ":,-"
# The value behind a secret's name: in quotes, or to the end of the line. A verdict is no name.
_NAMED = re.compile(
    r"(?<!wrong_)(?:pass(?:word|wd|phrase|code)|\bpsk|secret|token(?!s?_?type)|api[_-]?key"
    r"|credentials?|private[_-]?key|(?-i:\bPIN|_PASS))[\w.-]{0,20}"
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

# "-----BEGIN " in base64 and in hex, as far as all that begin so have it, and what goes on so
_PEM_BASE64 = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/_=-]+")
_PEM_HEX = re.compile(r"2d2d2d2d2d424547494e20(?:[0-9a-f]{2})+")
_DER_BASE64 = re.compile(r"(?=(M[A-Za-z0-9+/_-]{15}))")
_DER_HEX = re.compile(r"30(?:[0-7][0-9a-f]|81[0-9a-f]{2}|82[0-9a-f]{4})02010[013]")
_VERSIONS = (b"\x02\x01\x00", b"\x02\x01\x01", b"\x02\x01\x03")
_LEAST_DER, _MOST_DER = 40, 20_000


def found(text: str) -> Iterator[Span]:
    """Yield where something stands in the text that looks like a secret."""
    yield from _pem(text)
    for match in _NAMED.finditer(text):
        yield match.span(match.lastgroup or 0)
    for pattern in _OTHERS:
        yield from (match.span("value") for match in pattern.finditer(text))


def _pem(text: str) -> Iterator[Span]:
    """Keys in PEM; of one that was cut, what is left of it."""
    for match in _BEGIN.finditer(text):
        end = _END.search(text, match.end(), match.end() + _LONGEST_PEM)
        rest = text[match.end() : match.end() + _LONGEST_PEM]
        yield (
            match.start(),
            end.end() if end else match.end() + len(rest) - len(rest.lstrip(_HEADERS)),
        )
    for match in _END.finditer(text):
        before = text[max(match.start() - _LONGEST_PEM, 0) : match.start()]
        yield match.start() - len(before) + len(before.rstrip(_BODY)), match.end()


def keys_in(squashed: TextView) -> Iterator[Span]:
    """Yield where keys in base64 or hex stand in the first text, by a view of it without gaps."""
    for match in _DER_BASE64.finditer(squashed.text):
        length = _key_length(_decoded(match[1]))
        if length:
            end = min(match.start() + -(-length // 3) * 4, len(squashed.text))
            yield squashed.origin(match.start(), end)
    for match in _PEM_BASE64.finditer(squashed.text):
        if b"PRIVATE KEY" in _decoded(match[0][:80]):
            yield squashed.origin(*match.span())
    lower = squashed.lower()
    for match in _PEM_HEX.finditer(lower.text):
        if b"PRIVATE KEY" in bytes.fromhex(match[0][:160]):
            yield lower.origin(*match.span())
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
    whole = characters[: len(characters) // 4 * 4]
    try:
        return base64.b64decode(whole.translate(str.maketrans("-_", "+/")))
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
