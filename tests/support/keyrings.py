"""A real GNOME keyring in a D-Bus session of its own, open, with all that it keeps in a folder."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest import mock

from jeepney.io import blocking

from firmshake import tools

START_LIMIT_S = 60.0
# the library gives a bus 1 s to let it in, which a busy machine may take
_PATIENCE = (*blocking.open_dbus_connection.__defaults__[:-1], START_LIMIT_S)
# `firmshake` with that patience, for a process of its own
FIRMSHAKE = f"""\
from jeepney.io import blocking
blocking.open_dbus_connection.__defaults__ = {_PATIENCE}
from firmshake.cli import main
main()
"""
# all that a session's bus needs: one socket, and everybody there may speak to everybody
_SESSION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


@contextlib.contextmanager
def gnome_keyring(folder: Path, *, unlocked: bool = True) -> Iterator[None]:
    """The keyring of this process and its children meanwhile, by way of the environment.

    It is open, under an empty password; or locked, and nobody there who could be asked to open it.
    """
    program, address = tools.gnomekeyring(), folder / "bus"
    settings = folder / "session.conf"
    settings.write_text(_SESSION.format(socket=address))
    environment = {
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={address}",
    }
    daemon = [str(program.daemon), "--foreground", "--components=secrets"]
    with mock.patch.dict(os.environ, environment), contextlib.ExitStack() as stack:
        connect = blocking.open_dbus_connection
        stack.enter_context(mock.patch.object(connect, "__defaults__", _PATIENCE))
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "GNOME_KEYRING_CONTROL"):
            os.environ.pop(name, None)
        own = {**os.environ, **program.environment()}
        bus = [str(program.bus), f"--config-file={settings}", "--nofork", "--nopidfile"]
        stack.enter_context(_running(bus, own, b""))
        _until(lambda: _listens(address))
        if unlocked:
            daemon.append("--unlock")
        stack.enter_context(_running(daemon, own, b"\n"))
        _until(_answers)
        yield


@contextlib.contextmanager
def _running(command: list[str], environment: Mapping[str, str], told: bytes) -> Iterator[None]:
    """A program that was `told` something on its standard input."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdin
        process.stdin.write(told)
        process.stdin.close()
        yield
    finally:
        process.terminate()
        process.wait()


def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _listens(address: Path) -> bool:
    """Whether somebody takes connections there: the socket's file is there before."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(address))
    except OSError:
        return False
    return True


def _answers() -> bool:
    """Whether the service is on the bus."""
    import secretstorage
    from jeepney.io.common import RouterClosed

    try:
        with contextlib.closing(secretstorage.dbus_init()) as connection:
            return bool(secretstorage.check_service_availability(connection))
    except (secretstorage.SecretStorageException, OSError, RouterClosed):
        return False
