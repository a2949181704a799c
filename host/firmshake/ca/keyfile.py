"""Key and certificate files of the CA: written once, mode 0600, CA keys under a passphrase."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from firmshake import newfile, regularfile
from firmshake.ca import pkcs8
from firmshake.ca.identity import PrivateKey
from firmshake.errors import Error

# no key or chain of ours comes near it; a file that large is something else
_LARGEST = 64 * 1024
_ORIGINAL = "put back the original"


def save(path: Path, key: PrivateKey, passphrase: bytes) -> None:
    """Write `key` to the new file `path`, encrypted. Raises OSError."""
    newfile.create_whole(path, pkcs8.encrypt(key, passphrase))


def load(path: Path, passphrase: bytes) -> PrivateKey:
    """Return the key in the encrypted file `path`; raise Error where there is none to be had."""
    content = read(path)
    try:
        return pkcs8.decrypt(content, passphrase)
    except Error as error:
        raise type(error)(f"{error.message}: {path}", error.hint) from None


def load_certificate(path: Path) -> x509.Certificate:
    """Return the certificate in the PEM file `path`; raise Error where there isn't just one."""
    try:
        found = x509.load_pem_x509_certificates(read(path))
    except ValueError:
        raise Error(f"{path} is not a PEM certificate", hint=_ORIGINAL) from None
    if len(found) != 1:
        raise Error(f"{path} holds {len(found)} certificates, not one", hint=_ORIGINAL)
    return found[0]


def read(path: Path) -> bytes:
    """Return the content of a small file of the CA's folder; raise Error where it can't be had."""
    try:
        content = regularfile.read(path, _LARGEST)
    except FileNotFoundError:
        raise Error(
            f"no file {path}", hint="the CA's folder is not complete: put back a copy of it"
        ) from None
    except OSError as error:
        raise Error(
            f"can't read {path}: {error.strerror}", hint="check that it is a file that you may read"
        ) from None
    if content is None:
        raise Error(f"{path} is too large to be a key or a certificate", hint=_ORIGINAL)
    return content
