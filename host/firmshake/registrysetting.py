"""Puts the URL of a shared registry into the text of a fleet.toml. Does no I/O."""

from __future__ import annotations

import json
import re
import tomllib

from firmshake.errors import Error

_HEADER = "[registry]"


def written(text: str, url: str) -> str:
    """Return the fleet.toml that says this URL, and nothing else that it did not say before.

    Raises Error where the file is written so that this cannot be done for the user.
    """
    setting = f"url = {json.dumps(url)}"
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if line.strip() == _HEADER:
            lines[at + 1 : at + 1] = [setting]
            break
        # the example of a new fleet.toml makes room for it
        if line.strip() == f"# {_HEADER}" and re.match(
            r"# url *=", "".join(lines[at + 1 : at + 2])
        ):
            lines[at : at + 2] = [_HEADER, setting]
            break
    else:
        lines += ["", _HEADER, setting]
    made = "\n".join(lines) + "\n"
    _check(text, made, url)
    return made


def _check(before: str, after: str, url: str) -> None:
    wanted = tomllib.loads(before)
    wanted.setdefault("registry", {})["url"] = url
    try:
        right = tomllib.loads(after) == wanted
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise Error(
            "fleet.toml cannot be changed automatically",
            hint=f"say so yourself, below {_HEADER}: url = {json.dumps(url)}",
        )
