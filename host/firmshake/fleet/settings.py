"""Settings of one device: those of fleet.toml that differ for it. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from firmshake import fleetfile
from firmshake.errors import Error
from firmshake.project import Broker, Project, Wifi

# Of fleet.toml the keys that a board's own settings say. Not alpn and sni of the broker: no board's
# firmware can set them
NAMES = tuple(
    name
    for name in fleetfile.KEYS
    if name.partition(".")[0] in ("broker", "wifi", "clock", "mqtt")
    and name not in ("broker.alpn", "broker.sni")
)
_Value = TypeVar("_Value")


def check(name: str, value: object) -> None:
    """Raise Error, which never shows the value, where it can't be this setting of a device."""
    if name in NAMES:
        fleetfile.check_value(name, value)
    elif name in fleetfile.KEYS:
        raise Error(f"{name} can't differ from device to device", hint="set it in fleet.toml")
    else:
        raise Error(f"unknown setting {name!r}", hint=fleetfile.meant(name, NAMES))


def applied(project: Project, settings: Mapping[str, object]) -> Project:
    """Return the project as it is for a device with these settings, by dotted name.

    A setting replaces the one of fleet.toml and no other, with one exception: where the broker's
    certificate is to have the name of `broker.host`, it goes with that. Raises Error where a value
    will not do, or not together with the others; it never shows one.
    """
    if not settings:
        return project
    for name, value in settings.items():
        check(name, value)
    return replace(
        project,
        broker=_broker(project.broker, settings),
        wifi=_wifi(project.wifi, settings),
        ntp=tuple(_given(settings, "clock.ntp", project.ntp)),
        keepalive_s=_given(settings, "mqtt.keepalive_s", project.keepalive_s),
    )


def remedied(fix: str, settings: Mapping[str, object]) -> str:
    """Return the fix; where it sends people to fleet.toml, with the names of these settings.

    They are those of one device, which the manifest has.
    """
    if not settings or "fleet.toml" not in fix:
        return fix
    return f"{fix} For this device the manifest has {', '.join(settings)}."


def _broker(broker: Broker, settings: Mapping[str, object]) -> Broker:
    host = _given(settings, "broker.host", broker.host)
    named = host if broker.server_name == broker.host else broker.server_name
    transport = _given(settings, "broker.transport", broker.transport)
    if "broker.path" in settings:
        fleetfile.check_path(transport)
    return replace(
        broker,
        host=host,
        port=_given(settings, "broker.port", broker.port),
        server_name=_given(settings, "broker.server_name", named),
        transport=transport,
        path=_given(settings, "broker.path", broker.path),
    )


def _wifi(wifi: Wifi | None, settings: Mapping[str, object]) -> Wifi | None:
    ssid = _given(settings, "wifi.ssid", wifi.ssid if wifi else None)
    password = _given(settings, "wifi.password", wifi.password if wifi else None)
    if ssid is None:
        if password is not None:
            raise Error(
                "wifi.password is for a network that is not named",
                hint="give wifi.ssid beside it, or set it in fleet.toml",
            )
        return None
    return Wifi(ssid, password)


def _given(settings: Mapping[str, object], name: str, usual: _Value) -> _Value:
    """The setting, whose kind was checked, or what is usual."""
    value: _Value = settings.get(name, usual)  # type: ignore[assignment]
    return value
