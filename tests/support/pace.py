"""Runs the agent at a test's pace: patient where a server of ours may be late, brief elsewhere.

What is known by waiting has a brief time limit in the stage that it belongs to, and there alone:
the stages before it have to be climbed, on a machine that may be busy. As a program,
`python pace.py CODE COMMAND... -m firmshake_agent.once` runs the agent behind that code.
"""

from __future__ import annotations

import os
import sys

# the causes that are known by waiting
_WAITED = ("timeout", "no_echo")
# milliseconds that are waited; more where something has to come before that
_BRIEF_MS, _LESS_BRIEF_MS = 1000, 5000
_NOTHING_BEFORE = ("tcp/", "tls.client_hello/", "websocket/", "mqtt/", "subscribe/timeout")

_LIMITED = """
from firmshake_agent import ladder

begin = ladder.Climb._begin


def paced(climb, stage):
    begin(climb, stage)
    if climb.identity is not None:
        climb.identity.limit_ms = {brief_ms} if stage == "{stage}" else {limit_ms}


ladder.Climb._begin = paced
"""

# By 20 ms the agent tells a reset at once from one that answers its first message: a server that
# has to wait for a processor needs longer
SETTLING = """
from firmshake_agent import network

network.SETTLE_MS = 10000
"""

# A ping is answered within the keepalive, which is short for the first one to come soon
UNHURRIED = """
from firmshake_agent import mqtt

hold = mqtt.Session.hold


def unhurried(session):
    session._pong_ms = 15000
    hold(session)


mqtt.Session.hold = unhurried
"""

_ONCE = """
from firmshake_agent import once

once.main()
"""


def brief(verdict: str) -> tuple[str, int]:
    """The stage in which that verdict is known by waiting, and its limit in ms; or ("", 0)."""
    if not verdict.endswith(_WAITED):
        return "", 0
    stage = verdict.partition("/")[0].partition(".")[0]
    return stage, _BRIEF_MS if verdict.startswith(_NOTHING_BEFORE) else _LESS_BRIEF_MS


def waiting(verdict: str, limit_ms: int) -> str:
    """What has that verdict come soon, if it is known by waiting; `limit_ms` is for all else."""
    stage, brief_ms = brief(verdict)
    return stage and _LIMITED.format(stage=stage, brief_ms=brief_ms, limit_ms=limit_ms)


def within(code: str) -> list[str]:
    """The command to start the agent's by, for this code to come first."""
    return [sys.executable, __file__, code] if code else []


if __name__ == "__main__":
    first, *command = sys.argv[1:]
    assert command[-2:] == ["-m", "firmshake_agent.once"]
    os.execvp(command[0], [*command[:-2], "-c", first + _ONCE])
