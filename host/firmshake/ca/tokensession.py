"""Tokens that this process has open: the module that drives them, the login, and what goes wrong.

A module is loaded and initialised once in a process, and a token is logged into once (PKCS#11 2.40
section 2.6.4: all sessions of a process share the login). All of it is behind one lock, since a
module need not be safe for threads.
"""

from __future__ import annotations

import atexit
import contextlib
import hmac
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firmshake.ca import tokenmodule
from firmshake.ca.pkcs11uri import Pkcs11Uri
from firmshake.errors import Error, WrongSecret

if TYPE_CHECKING:
    from pkcs11 import Session, Token

LOCK = threading.RLock()


@dataclass(frozen=True)
class Login:
    """A token that this process is logged into. `pin` is kept for keys that ask at each use."""

    session: Session
    pin: str = field(repr=False)
    process: int

    @property
    def label(self) -> str:
        """The token's label."""
        return self.session.token.label


_logins: dict[tuple[str, int], Login] = {}


def login(uri: Pkcs11Uri, pin: bytes) -> Login:
    """Return the login to the token that `uri` names: a new one, or the one that there is.

    Raises Error where there is no such module or token, or where the PIN is wrong.
    """
    text = _pin_text(pin)
    with LOCK:
        module = tokenmodule.module_path(uri)
        token = tokenmodule.token(uri, module)
        there = _logins.get((module, token.slot.slot_id))
        if there is not None and there.process == os.getpid():
            if not hmac.compare_digest(there.pin.encode(), text.encode()):
                raise WrongSecret(f"wrong PIN for the token {token.label!r}", _PIN_HINT)
            return there
        made = Login(_logged_in(token, text), text, os.getpid())
        if not _logins:
            atexit.register(close)
        _logins[module, token.slot.slot_id] = made
        return made


def close() -> None:
    """Log out of every token and let the modules go: keys opened before can no longer sign."""
    with LOCK:
        for there in _logins.values():
            if there.process == os.getpid():
                with contextlib.suppress(RuntimeError):
                    there.session.close()
        tokenmodule.release()
        _logins.clear()
        atexit.unregister(close)


@contextlib.contextmanager
def writing(there: Login) -> Iterator[Session]:
    """A session that may change the token. Raises Error where the token does not let itself."""
    with LOCK, told(there.label):
        session = there.session.token.open(rw=True)
        try:
            yield session
        finally:
            session.close()


@contextlib.contextmanager
def told(label: str) -> Iterator[None]:
    """Turns what a module reports about the token `label` into an Error."""
    from pkcs11 import exceptions

    try:
        yield
    except exceptions.PKCS11Error as problem:
        raise _error(problem, label) from None


def _error(problem: Exception, label: str) -> Error:
    name = type(problem).__name__
    message, hint = PROBLEMS.get(name, _GONE)
    kind = WrongSecret if name in _WRONG else Error
    return kind(message.format(repr(label)), hint)


_WRONG = ("PinIncorrect", "PinInvalid", "PinLenRange")
_PIN_HINT = "try again; after a number of wrong ones a token locks itself"
_GONE = (
    "the token {} does not answer any more",
    "plug it in again, or start its service, and repeat",
)
# by PKCS#11's own names of return values (2.40 section 5.1), as python-pkcs11 spells them; for all
# others _GONE: modules answer a token that is not there any more with almost any of them
PROBLEMS = {
    "PinIncorrect": ("wrong PIN for the token {}", _PIN_HINT),
    "PinInvalid": ("the token {} takes no such characters in a PIN", "type the PIN again"),
    "PinLenRange": ("wrong PIN for the token {}: it is too short or too long", _PIN_HINT),
    "PinExpired": ("the PIN of the token {} has expired", "set a new one with the token's tool"),
    "PinLocked": (
        "the token {} is locked after too many wrong PINs",
        "unlock it with its security officer's PIN, in the token's own tool",
    ),
    "UserPinNotInitialized": (
        "the token {} has no user's PIN yet",
        "set it with the token's own tool (`pkcs11-tool --init-pin`)",
    ),
    "DeviceMemory": ("the token {} is full", "delete a key from it that nothing uses"),
    "TokenWriteProtected": ("the token {} is write-protected", "make the key with its own tool"),
    "SessionReadOnly": ("the token {} is write-protected", "make the key with its own tool"),
    "MechanismInvalid": (
        "the token {} cannot do that with this type of key",
        "take another type of key, or another token",
    ),
    "KeySizeRange": ("the token {} has no keys of that size", "take another type of key"),
    "DomainParamsInvalid": ("the token {} does not know that curve", "take another type of key"),
}


def _pin_text(pin: bytes) -> str:
    try:
        text = pin.decode("utf-8")
    except UnicodeDecodeError:
        raise Error("the PIN is not UTF-8", "type the PIN again") from None
    if not text:
        raise Error("no PIN was given", "give the PIN of the token's user")
    return text


def _logged_in(token: Token, pin: str) -> Session:
    """A session of the token's user. Raises Error, which tells how many tries the token says."""
    from pkcs11 import exceptions

    try:
        return token.open(user_pin=pin)
    except exceptions.PKCS11Error as problem:
        error = _error(problem, token.label)
        if isinstance(problem, exceptions.PinIncorrect):
            error.hint = _tries(token) or error.hint
        raise error from None


def _tries(token: Token) -> str:
    """What the token tells, after a wrong PIN, of the tries that are left (CK_TOKEN_INFO)."""
    from pkcs11 import PKCS11Error, TokenFlag

    try:
        flags = token.slot.get_token().flags
    except PKCS11Error:
        return ""
    told = (
        (TokenFlag.USER_PIN_LOCKED, f"that was the last try: {PROBLEMS['PinLocked'][1]}"),
        (TokenFlag.USER_PIN_FINAL_TRY, "one try is left before the token locks itself: be sure"),
        (TokenFlag.USER_PIN_COUNT_LOW, "try again; few tries may be left before it locks itself"),
    )
    return next((text for flag, text in told if flags & flag), "")
