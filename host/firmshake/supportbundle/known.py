"""Gathers the secrets that must not be in a bundle: of a project's files, and of the environment.

They are read to be taken out; nothing here writes them anywhere.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from firmshake.supportbundle import patterns

# what is larger is an image or a database
_LARGEST = 1024 * 1024
_MOST_FILES = 5000
# of a line of PEM, which has 64 characters but for the last
_LEAST_LINE = 16
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)
# of an encrypted key: what stands before it says how it is encrypted, alike for all
_SEALED_FROM = 80
# IEEE 802.11, J.4: the key that a password and a network's name make
_PSK_ROUNDS, _PSK_BYTES = 4096, 32


@dataclass
class Known:
    """Secrets: words, which are text, and the private bytes of keys."""

    words: set[str] = field(default_factory=set, repr=False)
    material: set[bytes] = field(default_factory=set, repr=False)


def gather(
    folder: Path | None, files: Iterable[Path], environment: Mapping[str, str] = os.environ
) -> Known:
    """Return what is secret in a project's folder, in further files, and in the environment.

    Such files are manifests that lie elsewhere. What can't be read is passed over: it won't be in
    the bundle either.
    """
    known = Known()
    known.words |= {
        value for name, value in environment.items() if patterns.SECRET_NAME.search(name)
    }
    password_file = environment.get("PGPASSFILE") or Path.home() / ".pgpass"
    for line in _read(Path(password_file)).decode("utf-8", "replace").splitlines():
        if not line.startswith("#"):
            known.words.add(re.split(r"(?<!\\):", line)[-1].replace("\\:", ":"))
    for path in [*(_below(folder) if folder else ()), *files]:
        _look(_read(path), path.suffix.lower(), known)
    return known


def _below(folder: Path) -> Iterator[Path]:
    count = 0
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            count += 1
            if count > _MOST_FILES:
                return
            yield Path(root) / name


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return b""
        return path.read_bytes()
    except OSError:
        return b""


def _look(data: bytes, suffix: str, known: Known) -> None:
    """Add what is secret in one file."""
    for found in _PEM.finditer(data):
        known.material |= _material(found[0])
        # for what is encoded once more
        lines = found[0].decode("ascii", "replace").splitlines()[1:-1]
        known.words |= {line for line in lines if len(line) >= _LEAST_LINE}
    if data[:1] == b"\x30":
        known.material |= _material(data)
    if b"\0" in data[:1000]:
        return
    text = data.decode("utf-8", "replace")
    known.words |= set(patterns.values(text))
    if suffix == ".toml":
        _look_at_toml(text, known)
    if suffix == ".csv":
        known.words |= set(_columns(text))


def _look_at_toml(text: str, known: Known) -> None:
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError):
        return
    known.words |= set(_named(values))
    wifi = values.get("wifi")
    if isinstance(wifi, dict):
        ssid, password = wifi.get("ssid"), wifi.get("password")
        if isinstance(ssid, str) and isinstance(password, str):
            known.material.add(
                hashlib.pbkdf2_hmac(
                    "sha1", password.encode(), ssid.encode(), _PSK_ROUNDS, _PSK_BYTES
                )
            )


def _named(values: object, name: str = "") -> Iterator[str]:
    """The values below names of secrets, in tables and lists."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _named(value, key if patterns.SECRET_NAME.search(key) else name)
    elif isinstance(values, list):
        for value in values:
            yield from _named(value, name)
    elif name:
        yield str(values)


def _columns(text: str) -> Iterator[str]:
    """The values in columns with names of secrets."""
    try:
        for row in csv.DictReader(io.StringIO(text), restkey="rest"):
            for name, value in row.items():
                if value and patterns.SECRET_NAME.search(name or ""):
                    yield str(value)
    except csv.Error:
        return


def _material(data: bytes) -> set[bytes]:
    """The private bytes of a key in PEM or DER; of one that is encrypted, its ciphertext."""
    load = serialization.load_pem_private_key
    if data[:1] == b"\x30":
        load = serialization.load_der_private_key
    try:
        key = load(data, None)
    except (ValueError, UnsupportedAlgorithm):
        return set()
    except TypeError:  # it needs a passphrase
        return {_der(data)[_SEALED_FROM:]}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {_bytes(key.private_numbers().private_value, key.key_size)}
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        halves = {_bytes(number, key.key_size // 2) for number in (numbers.p, numbers.q)}
        return halves | {_bytes(numbers.d, key.key_size)}
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return {key.private_bytes_raw()}
    return set()


def _der(data: bytes) -> bytes:
    if data[:1] == b"\x30":
        return data
    lines = data.decode("ascii", "replace").splitlines()[1:-1]
    return base64.b64decode("".join(line for line in lines if ":" not in line))


def _bytes(number: int, bits: int) -> bytes:
    return number.to_bytes(-(-max(bits, number.bit_length()) // 8))
