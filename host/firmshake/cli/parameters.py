"""Kinds of values that several commands take, refused as wrong usage where they are none."""

from __future__ import annotations

import math
from typing import Any

import click

from firmshake import deviceid
from firmshake.errors import Error


class DeviceId(click.types.StringParamType):
    """A device's id."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return deviceid.check(super().convert(value, param, ctx))
        except Error as error:
            self.fail(f"{error.message}; {error.hint}", param, ctx)


class Seconds(click.FloatRange):
    """A time span of finite length; "nan" is a float too, and in every range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail("'nan' is no number of seconds", param, ctx)
        return seconds
