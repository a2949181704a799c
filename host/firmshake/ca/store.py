"""The CA's folder: which certificates it has, where the key of each is, and which of them issues.

`ca.toml` in it says so, and is the one thing that changes: a new pair of files gets names of its
own, and counts from the moment at which ca.toml, replaced in one step, names it. What an older
ca.toml named stays: a CA that no longer issues still signs the list of what it has revoked.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from firmshake import newfile
from firmshake.ca import certificate as certificates
from firmshake.ca import keyfile, pkcs8, pkcs11uri
from firmshake.ca.authority import Authority, Root
from firmshake.ca.certificate import Issuer
from firmshake.ca.identity import PrivateKey
from firmshake.ca.profiles import Profiles
from firmshake.errors import Error

FILE = "ca.toml"

_HINT = "put back the file that firmshake wrote"
_PUBLIC = 0o644

_ABOUT = "# Where the CA's certificates and keys are. Written by firmshake.\n"
_ISSUES = "# the one that issues\n"
_ISSUED = "# issues no more, and signs the list of what it has revoked\n"
_KEYRING = """\
# the passphrase, or the token's PIN, is in the system's keyring
[passphrase]
keyring = true
"""


@dataclass(frozen=True)
class Place:
    """Where a CA is: `certificate` is a file name in the folder, `key` one, or a PKCS#11 URI."""

    certificate: str
    key: str

    @property
    def in_token(self) -> bool:
        return pkcs11uri.is_uri(self.key)

    @property
    def token(self) -> str:
        """Which token its key is in, as its URI says; "" for a file. One secret opens all of it."""
        if not self.in_token:
            return ""
        texts = pkcs11uri.parse(self.key).texts.items()
        return ";".join(f"{k}={v}" for k, v in sorted(texts) if k not in ("object", "type"))

    @property
    def crl(self) -> str:
        """The file name of its revocation list."""
        return str(Path(self.certificate).with_suffix(".crl"))


@dataclass(frozen=True)
class Places:
    """All CAs of a folder. The last of the intermediates issues.

    `keyring` says that the passphrase is to be had from the system's keyring.
    """

    root: Place
    intermediates: tuple[Place, ...]
    keyring: bool = False

    @property
    def first_file(self) -> Place:
        """The newest of the intermediates whose key is in a file, or the first of all."""
        in_files = [place for place in self.intermediates if not place.in_token]
        return (in_files or list(self.intermediates))[-1]

    @property
    def issuing(self) -> Place:
        return self.intermediates[-1]


FIRST = Places(Place("root.crt", "root.key"), (Place("intermediate.crt", "intermediate.key"),))


def read(folder: Path) -> Places:
    """Return what the folder's ca.toml says; raise Error where it is missing or makes no sense."""
    path = folder / FILE
    try:
        document = tomllib.loads(keyfile.read(path).decode("utf-8"))
        return _places(document)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are such
        raise Error(f"{path}: {error}", hint=_HINT) from None


def render(places: Places) -> str:
    """Return the text of a ca.toml that says this."""
    tables = [_ABOUT, f"[root]\n{_table(places.root)}"]
    for place in places.intermediates:
        about = _ISSUES if place is places.issuing else _ISSUED
        tables.append(f"{about}[[intermediate]]\n{_table(place)}")
    if places.keyring:
        tables.append(_KEYRING)
    return "\n".join(tables)


def write(folder: Path, places: Places) -> None:
    """Put this in the place of the folder's ca.toml, in one step. Raises OSError."""
    newfile.replace(folder / FILE, render(places).encode("utf-8"), _PUBLIC)


def add(folder: Path, places: Places, made: Issuer, key: str | bytes) -> Places:
    """Write the files of a new intermediate and return the places with it as the one that issues.

    `key` is the passphrase to encrypt its key with, or the PKCS#11 URI of a key in a token. The
    folder's ca.toml is left alone. Raises OSError, with no file left.
    """
    place = _free(folder, key)
    newfile.create_whole(folder / place.certificate, certificates.pem(made.certificate), _PUBLIC)
    try:
        if isinstance(key, bytes):
            keyfile.save(folder / place.key, made.key, key)
    except BaseException:
        (folder / place.certificate).unlink(missing_ok=True)
        raise
    return Places(places.root, (*places.intermediates, place), places.keyring)


def certificate(folder: Path, place: Place) -> x509.Certificate:
    """Return a CA's certificate; raise Error where it can't be read."""
    return keyfile.load_certificate(folder / place.certificate)


def open_authority(folder: Path, secret: bytes, using: Profiles | None = None) -> Authority:
    """Return the CA that issues. The root's key is not touched.

    Raises Error where a file is missing or damaged, the files don't belong together, or the
    passphrase (a token's PIN) is wrong.
    """
    places = read(folder)
    own = certificate(folder, places.issuing)
    root = certificate(folder, places.root)
    key = open_key(folder, places.issuing, secret)
    if key.public_key() == root.public_key() != own.public_key():
        raise Error(
            f"{folder / places.issuing.key} holds the root's key, and the intermediate's is needed",
            hint="put back the intermediate's own key; the root's belongs offline",
        )
    with _named(folder):
        return Authority(key, own, root, using)


def root_place(folder: Path, places: Places, key: str | None = None) -> Place:
    """Return where the root is; `key` says where its key is, if not where ca.toml says.

    That is a path or a PKCS#11 URI. Raises Error where there is no such file: the root's key is
    meant to be elsewhere most of the time.
    """
    if key is not None and not pkcs11uri.is_uri(key):
        key = str(Path(key).absolute())
    place = Place(places.root.certificate, key or places.root.key)
    if not place.in_token and not (folder / place.key).exists():
        raise Error(
            f"the root's key is not here: no file {folder / place.key}",
            hint="fetch it from where it is kept, and say where it is now with --root-key FILE",
        )
    return place


def open_root(folder: Path, place: Place, secret: bytes) -> Root:
    """Return the root at `place`. Raises Error as `open_authority` does."""
    own = certificate(folder, place)
    key = open_key(folder, place, secret)
    for other in read(folder).intermediates:
        theirs = certificate(folder, other)
        if key.public_key() == theirs.public_key():
            raise Error(
                f"{folder / place.key} holds the key of {certificates.subject(theirs)!r}, and the"
                " root's is needed",
                hint="put back the root's own key, or say where it is with --root-key",
            )
    with _named(folder):
        return Root(key, own)


def open_issuer(folder: Path, place: Place, secret: bytes) -> Issuer:
    """Return one of the folder's CAs, to sign its revocation list with."""
    own = certificate(folder, place)
    with _named(folder):
        return Issuer(open_key(folder, place, secret), own)


def seal(folder: Path, place: Place, key: PrivateKey, passphrase: bytes) -> None:
    """Encrypt the key at `place` with another passphrase, in one step. Raises OSError."""
    newfile.replace(folder / place.key, pkcs8.encrypt(key, passphrase))


def open_key(folder: Path, place: Place, secret: bytes) -> PrivateKey:
    """Return the key at `place`, opened with the passphrase or PIN; raise Error where it isn't."""
    if place.in_token:
        from firmshake.ca import token

        return token.open_key(place.key, secret)
    return keyfile.load(folder / place.key, secret)


class _named:  # noqa: N801  # reads as the word that it is
    """Names the folder in what is wrong with its content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Error):
            told = f"the CA in {self._folder}: {error.message}"
            raise type(error)(told, error.hint) from None


def _places(document: dict[str, Any]) -> Places:
    intermediates = document.get("intermediate")
    if not isinstance(intermediates, list) or not intermediates:
        raise ValueError("no [[intermediate]]")
    passphrase = document.get("passphrase", {})
    if not isinstance(passphrase, dict) or not isinstance(passphrase.get("keyring", False), bool):
        raise ValueError("keyring in [passphrase] must be true or false")
    return Places(
        root=_place("[root]", document.get("root")),
        intermediates=tuple(_place("[[intermediate]]", table) for table in intermediates),
        keyring=passphrase.get("keyring", False),
    )


def _place(name: str, table: object) -> Place:
    if not isinstance(table, dict):
        raise ValueError(f"no {name}")
    values = [table.get(key) for key in ("certificate", "key")]
    if not all(isinstance(value, str) and value for value in values):
        raise ValueError(f"{name} must say certificate and key, each in quotes")
    place = Place(*(str(value) for value in values))
    if not _is_name(place.certificate):
        raise ValueError(f"certificate in {name} must be the name of a file in this folder")
    if place.in_token:
        _check_uri(place.key, name)
    elif not _is_name(place.key):
        raise ValueError(f"key in {name} must be the name of a file in this folder, or pkcs11:...")
    return place


def _is_name(text: str) -> bool:
    return Path(text).name == text != ".." and text.isprintable()


def _check_uri(uri: str, name: str) -> None:
    try:
        pkcs11uri.parse(uri)
    except Error as error:
        raise ValueError(f"key in {name}: {error.message}") from None


def _table(place: Place) -> str:
    return f"certificate = {json.dumps(place.certificate)}\nkey = {json.dumps(place.key)}\n"


def _free(folder: Path, key: str | bytes) -> Place:
    """File names for a further intermediate, which nothing has."""
    number = 2
    while any((folder / f"intermediate-{number}{end}").exists() for end in (".crt", ".key")):
        number += 1
    stem = f"intermediate-{number}"
    return Place(f"{stem}.crt", key if isinstance(key, str) else f"{stem}.key")
