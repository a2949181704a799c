"""What opens the CA's key, kept in the system's keyring where the user wants that.

The keyring is reached through the library `keyring`, the extra firmshake[keyring]. An entry is
named after the root certificate and after what it opens, so that no token is ever tried with the
PIN of another, or with a passphrase.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cryptography import x509

from firmshake.ca import certificate as certificates
from firmshake.ca.store import Place
from firmshake.errors import Error

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "firmshake"

# of the root's fingerprint: 64 bits tell the projects of one user apart
_DIGITS = 16
# what the library itself recommends (keyring.core.recommended): below it are files in clear, files
# under one more passphrase that somebody has to type, and backends that keep nothing
_RECOMMENDED = 1


def entry(root: x509.Certificate, place: Place) -> str:
    """Return the user name under which the keyring has the secret of a CA's key."""
    what = f"PIN {place.token}" if place.in_token else "issuing passphrase"
    return f"{certificates.fingerprint(root)[:_DIGITS]} {what}"


def recall(name: str) -> bytes:
    """Return the secret of that name; raise Error where there is none to be had."""
    with _told("can't be asked"):
        found = _backend().get_password(SERVICE, name)
    if found is None:
        raise Error("the system's keyring has no such entry: firmshake ca remember makes one")
    return found.encode("utf-8")


def remember(name: str, secret: bytes) -> None:
    """Put a secret into the keyring, in place of any of that name; raise Error where it won't."""
    try:
        text = secret.decode("utf-8")
    except UnicodeDecodeError:
        raise Error("keyrings keep text, and this is not UTF-8", hint="choose another") from None
    with _told("did not take it"):
        backend = _backend()
        backend.set_password(SERVICE, name, text)
        kept = backend.get_password(SERVICE, name)
    if kept != text:
        raise Error("the system's keyring did not keep it", hint=_HINT)


def forget(name: str) -> None:
    """Take a secret out of the keyring; raise Error where it can't be asked for it."""
    with _told("can't be asked"):
        backend = _backend()
        if backend.get_password(SERVICE, name) is not None:
            backend.delete_password(SERVICE, name)


def check() -> str:
    """Return the name of the keyring; raise Error where there is none that keeps a secret."""
    with _told("can't be asked"):
        return str(_backend().name)


_HINT = "without a keyring, give the passphrase with --passphrase-fd or at the prompt"


def _backend() -> KeyringBackend:
    """The keyring that the user's settings choose, or the best that there is."""
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend
    except ModuleNotFoundError:
        raise Error(
            "the system's keyring is reached through the library keyring, which is not installed",
            hint="pip install 'firmshake[keyring]'",
        ) from None
    chosen = keyring.get_keyring()
    # a chain would hand it on, in the end to a file in clear
    every = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    for backend in every:
        if backend.priority >= _RECOMMENDED:
            return backend
    if not every or all(backend.priority <= 0 for backend in every):
        raise Error("no system keyring answers here", hint=_HINT)
    raise Error(
        f"the keyring {every[0].name} is not taken: it does not protect what it keeps",
        hint="use the desktop's own keyring, or set none up and type the passphrase",
    )


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turns whatever a keyring raises into an Error, which never repeats its text."""
    try:
        yield
    except Error:
        raise
    except Exception as error:  # noqa: BLE001  # the backends are others', and raise what they like
        name = "OSError" if isinstance(error, OSError) else type(error).__name__
        reason = _REASONS.get(name, name)
        raise Error(f"the system's keyring {what}: {reason}", hint=_HINT) from None


# by name, most of them of keyring.errors
_REASONS = {
    "KeyringLocked": "it is locked",
    "InitError": "it does not answer",
    "OSError": "it does not answer",  # the session's bus is gone
    "RuntimeError": "it does not answer",
    "NoKeyringError": "there is none",
    "PasswordSetError": "it refused",
    "PasswordDeleteError": "it refused",
}
