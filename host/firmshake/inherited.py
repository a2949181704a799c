"""What the processes that reach boards inherit of our environment: everything but its secrets.

They need no password of the registry's, nor any other. It keeps secrets out of what they may say or
dump; it is no wall: whoever runs as the same user may look into this process's own environment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, MutableMapping

from firmshake.supportbundle.patterns import SECRET_NAME


def is_secret(name: str) -> bool:
    """Return whether a variable is to stay here: libpq's (PGPASSWORD and all), or a secret."""
    return name.startswith("PG") or bool(SECRET_NAME.search(name))


def of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without its secrets."""
    return {name: value for name, value in environment.items() if not is_secret(name)}


def drop(environment: MutableMapping[str, str]) -> dict[str, str]:
    """Take the secrets out of the environment itself, and return them."""
    return {name: environment.pop(name) for name in list(environment) if is_secret(name)}


@contextlib.contextmanager
def without_secrets(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Have the environment without its secrets for as long as the context lasts."""
    dropped = drop(environment)
    try:
        yield
    finally:
        environment.update(dropped)
