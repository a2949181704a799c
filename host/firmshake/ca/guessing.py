"""What a new passphrase must not be: what is tried first by whoever has the key file.

NIST SP 800-63B section 5.1.1.2 asks for a list of values that are common or expected. This is a
small one on purpose: it catches what people type to get past the question, and no more. What makes
a passphrase good is its length. Does no I/O.
"""

from __future__ import annotations

# the heads of the published lists of leaked passwords, and words of this place; what people put
# behind them to please a form is taken off before they are compared
_WORDS = """
    admin administrator baseball changeme charlie computer default device dragon firmshake football
    iloveyou internet letmein master micropython monkey mosquitto passphrase passwd password
    princess raspberry samsung secret shadow starwars sunshine superman test trustno welcome
    whatever
"""
COMMON = frozenset(_WORDS.split())
# the alphabet, the figures and keyboards, along their rows and up and down
_ROWS = """
    abcdefghijklmnopqrstuvwxyz 01234567890 qwertyuiop qwertzuiop azertyuiop asdfghjkl zxcvbnm
    1q2w3e4r5t6y7u8i9o0p 1q2w3e4r5t6z7u8i9o0p 1qaz2wsx3edc4rfv
"""
_RUNS = [run for row in _ROWS.split() for run in (row, row[::-1])]
# letters that are written as figures
_PLAIN = str.maketrans("013457@$!", "oieastasi")
_BEHIND = "0123456789!?.-_#*+$%& "
_FEWEST = 5  # different characters


def is_obvious(passphrase: bytes) -> bool:
    """Return whether a passphrase is one of the first that are tried."""
    text = passphrase.decode("utf-8", "replace").lower()
    if len(set(text)) < _FEWEST:
        return True
    word = text.rstrip(_BEHIND)
    if {word, word.translate(_PLAIN), word.translate(_PLAIN).rstrip("s")} & COMMON:
        return True
    return any(part in run for run in _RUNS for part in (text, word))
