"""Gets a page or a file over HTTPS, bounded in size and in time."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from firmshake import __version__
from firmshake.endpoint import is_loopback
from firmshake.errors import Error

# a server that says nothing for so long is given up
SILENCE_S = 20.0
# and one that sends a byte now and then, after so long
LONGEST_S = 600.0
_PIECE = 64 * 1024

OnProgress = Callable[[int, int], None]


def get(
    url: str,
    most: int,
    on_progress: OnProgress = lambda done, total: None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> bytes:
    """Return what is at `url`, of at most `most` bytes. `on_progress` gets bytes done and in all.

    The bytes in all are 0 where the server does not tell. Raises Error where it cannot be had, or
    is not served by HTTPS; only this computer itself may do without.
    """
    check(url)
    ends = clock() + LONGEST_S
    agent = {"User-Agent": f"firmshake/{__version__}"}
    # the scheme was checked
    request = urllib.request.Request(url, headers=agent)  # noqa: S310
    try:
        with _opener().open(request, timeout=SILENCE_S) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            data = bytearray()
            while piece := answer.read(_PIECE):
                data += piece
                if len(data) > most:
                    raise Error(f"{url} is larger than any firmware", hint="check the address")
                if clock() > ends:
                    raise Error(f"{_host(url)} is too slow", hint=_LATER)
                on_progress(len(data), total)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(url, error.code) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error) from None
    if total and len(data) < total:
        raise Error(f"{_host(url)} hung up in the middle of the file", hint=_LATER)
    return bytes(data)


def check(url: str) -> None:
    """Raise Error where the address is none that a file may be got from."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and is_loopback(parts.hostname):
        return
    raise Error(f"{url} is not an address of HTTPS", hint="give one that begins with https://")


_LATER = "try again later; a file that you have is taken by `firmshake firmware add FILE`"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a site to where it has its files now, but never away from HTTPS."""

    def redirect_request(self, *arguments: object) -> urllib.request.Request | None:
        check(str(arguments[-1]))
        return super().redirect_request(*arguments)  # type: ignore[arg-type]


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Redirects())


def _refused(url: str, status: int) -> Error:
    if status == http.HTTPStatus.NOT_FOUND:
        return Error(f"{_host(url)} has no {urlsplit(url).path}", hint="check board and version")
    return Error(f"{_host(url)} answered with HTTP status {status}", hint=_LATER)


def _unreachable(url: str, error: Exception) -> Error:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    text = getattr(reason, "verify_message", "") or getattr(reason, "strerror", "") or str(reason)
    detail = (text or type(reason).__name__).lower().rstrip(".")
    return Error(
        f"{_host(url)} cannot be reached: {detail}",
        hint="get the file on a computer with a network, and run `firmshake firmware add FILE`",
    )


def _host(url: str) -> str:
    return urlsplit(url).netloc
