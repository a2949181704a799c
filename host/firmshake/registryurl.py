"""The URL of a registry that several stations share: which one will do. Does no I/O."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from firmshake.errors import Error

SCHEME = "postgresql://"
EXAMPLE = f"{SCHEME}firmshake@db.example/fleet?sslmode=verify-full"
ADVICE = "keep the password in ~/.pgpass, which libpq reads, with mode 0600"

# what libpq takes there and must not be seen (PostgreSQL documentation, 34.1.2)
_SECRETS = ("password", "sslpassword")


def check(url: str) -> str:
    """Return `url` as it is; raise Error where it names no PostgreSQL database, or has a password.

    A message never shows it: there might be a password in it.
    """
    try:
        parts = urlsplit(url)
        secret = parts.password is not None
        keys = {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)}
    except ValueError:
        raise Error("that is no URL", hint=f"such as {EXAMPLE}") from None
    if secret or keys.intersection(_SECRETS):
        raise Error("the URL of a registry must not hold a password", hint=ADVICE)
    named = parts.path.startswith("/") and len(parts.path) > 1
    if not url.startswith(SCHEME) or not named or not url.isprintable() or parts.fragment:
        raise Error(
            "that is not the URL of a PostgreSQL database",
            hint=f"it names the database, and the role and host, such as {EXAMPLE}",
        )
    return url
