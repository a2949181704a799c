"""The forms in which a secret may stand in a text, beside itself. Does no I/O."""

from __future__ import annotations

import base64
import re

# Shorter ones are found by their names alone: the text would lose every fourth number
LEAST = 4
# of base64 and hex: a shorter one is found in any text
_LEAST_FORM = 6
# what are several bytes in UTF-8, and one in Latin-1
_HIGH = re.compile("[\x80-\xff]+")
# Key material is looked for in pieces, so that a part of a key is found, too
_PIECE, _LONG_PIECE = 16, 32


def spellings(word: str) -> set[str]:
    """Return how a word may read: with "+" for a space, or with UTF-8 and Latin-1 confused.

    The former is how forms of HTML are sent (4.10.21.8).
    """
    octets = word.encode("utf-8", "surrogateescape")
    taken = _HIGH.sub(lambda found: utf8(found[0].encode("latin-1")), word)
    return {word, word.replace(" ", "+"), octets.decode("latin-1"), taken}


def utf8(data: bytes) -> str:
    """Return the text in `data`; of what is no UTF-8, the characters of Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def base64_forms(secret: bytes) -> set[str]:
    """Return the characters that `secret` is for certain, within the base64 of anything.

    Three bytes are four characters, so it looks in three ways, by how many bytes stand before it.
    In both alphabets (RFC 4648, sections 4 and 5).
    """
    made = set()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + secret).decode()
        first = -(-before * 8 // 6)
        last = (before + len(secret)) * 8 // 6
        made.add(encoded[first:last])
    made |= {form.translate(str.maketrans("+/", "-_")) for form in made}
    return {form for form in made if len(form) >= _LEAST_FORM}


def hex_form(secret: bytes) -> str:
    """Return the hexadecimal digits, in lower case."""
    return secret.hex()


def pieces(material: bytes) -> list[bytes]:
    """Return the pieces of a key in which it is looked for."""
    size = _PIECE if len(material) <= 4 * _PIECE else _LONG_PIECE
    starts = range(0, max(len(material) - size, 0) + 1, size)
    return [material[start : start + size] for start in starts]
