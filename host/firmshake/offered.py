"""Keys and certificates in files that somebody offers for import. Does no I/O.

PEM in any mixture, DER, or PKCS#12; what else a file may be, `firmshake inspect` tells.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)

from firmshake.ca.identity import PrivateKey
from firmshake.errors import Error
from firmshake.inspect import locks, pem
from firmshake.inspect.desk import Desk
from firmshake.serverview import certview
from firmshake_agent.der import BadDer

_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True)
class Offered:
    """What the files hold: certificates, each once, and private keys, opened."""

    certificates: tuple[x509.Certificate, ...]
    keys: tuple[PrivateKey, ...] = field(repr=False)


def read(files: Sequence[tuple[str, bytes]], desk: Desk) -> Offered:
    """Return what is in the files (name, content); `desk` has or asks for their passphrases.

    Raises Error, which names the file, where one holds nothing of the kind, is damaged, or stays
    locked.
    """
    certificates: list[x509.Certificate] = []
    keys: list[PrivateKey] = []
    for name, content in files:
        for one in _items(name, content, desk):
            if isinstance(one, x509.Certificate):
                certificates.append(one)
            elif isinstance(one, PrivateKey):
                keys.append(one)
            else:
                raise Error(
                    f"{name} holds a key that is neither EC nor RSA",
                    hint="boards and brokers can't use it: import one of those kinds",
                )
    return Offered(tuple(dict.fromkeys(certificates)), tuple(keys))


def _items(name: str, content: bytes, desk: Desk) -> Iterator[object]:
    found = list(
        _of_pem(name, content, desk) if pem.BEGIN in content else _of_der(name, content, desk)
    )
    if not found:
        raise Error(
            f"{name} holds neither a certificate nor a private key",
            hint=f"what it is: firmshake inspect {name}",
        )
    yield from found


def _of_pem(name: str, content: bytes, desk: Desk) -> Iterator[object]:
    for block in pem.blocks(content):
        if block.label == "CERTIFICATE":
            yield _certificate(name, _alone(block))
        elif block.label.endswith("PRIVATE KEY"):
            if block.label.startswith("ENCRYPTED") or not block.headers:
                # else it is of the old kind, stretched by one round of MD5
                _check_price(name, _plain(name, block))
            yield _key(name, functools.partial(load_pem_private_key, _alone(block)), desk)


def _plain(name: str, block: pem.Block) -> bytes:
    try:
        return base64.b64decode(b"".join(block.body.split()), validate=True)
    except binascii.Error:
        raise _damaged(name) from None


def _alone(block: pem.Block) -> bytes:
    """The block as PEM of its own."""
    label = block.label.encode()
    lines = (b"-----BEGIN %b-----" % label, block.body.strip(), b"-----END %b-----" % label)
    return block.text or b"\n".join((*lines, b""))


def _of_der(name: str, content: bytes, desk: Desk) -> Iterator[object]:
    for load in (x509.load_der_x509_certificate, lambda data: load_der_private_key(data, None)):
        try:
            with certview.quiet():
                yield load(content)
            return
        except TypeError:  # a key that is encrypted
            _check_price(name, content)
            yield _key(name, lambda secret: load_der_private_key(content, secret), desk)
            return
        except certview.ODD:
            continue
    if content[:1] == b"\x30":
        yield from _of_pkcs12(name, content, desk)


def _of_pkcs12(name: str, content: bytes, desk: Desk) -> Iterator[object]:
    _check_price(name, content, mac=True)
    opened = _key(name, lambda secret: pkcs12.load_pkcs12(content, secret), desk)
    if opened.key is not None:
        yield opened.key
    for one in (opened.cert, *opened.additional_certs):
        if one is not None:
            yield one.certificate


def _check_price(name: str, data: bytes, mac: bool = False) -> None:
    """Raise Error where one try at a passphrase would take years, or all of the memory."""
    try:
        found = locks.locks(data)
        check = locks.mac_lock(data) if mac else None
    except BadDer:
        raise _damaged(name) from None
    if reason := locks.price([*found, *([check] if check else [])]):
        raise Error(
            f"{name} is locked, and no passphrase is tried: {reason}",
            hint="nobody makes such a file by accident: get another copy of the key",
        )


def _damaged(name: str) -> Error:
    return Error(f"{name} is locked or damaged", hint=f"what it is: firmshake inspect {name}")


def _key(name: str, load: Callable[[bytes | None], _Loaded], desk: Desk) -> _Loaded:
    """What `load` makes without a passphrase, or with one of the desk's."""
    locked = False
    try:
        with certview.quiet():
            return load(None)
    except TypeError:
        locked = True
    except certview.ODD:
        pass  # PKCS#12 says no more of a passphrase that misses
    for secret in desk.tries(name):
        locked = True
        try:
            with certview.quiet():
                return load(secret)
        except certview.ODD:
            continue
    if locked:
        raise Error(f"wrong passphrase, or {name} is damaged", hint="run the command again")
    raise _damaged(name)


def _certificate(name: str, text: bytes) -> x509.Certificate:
    try:
        with certview.quiet():
            return x509.load_pem_x509_certificate(text)
    except certview.ODD:
        raise Error(
            f"a certificate in {name} is damaged", hint=f"firmshake inspect {name} says how"
        ) from None
