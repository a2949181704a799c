"""Options that several commands have, and kinds of values, refused as usage if they are none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from firmshake import deviceid
from firmshake.errors import Error

project_folder = click.option(
    "--project",
    "folder",
    default=".",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The project's folder. By itself: this folder.",
)
passphrase_fd = click.option(
    "--passphrase-fd",
    type=int,
    metavar="N",
    help="Read the CA's passphrase from file descriptor N, and do not ask for it.",
)
new_passphrase_fd = click.option(
    "--passphrase-fd",
    type=int,
    metavar="N",
    help="Read the CA's new passphrase from file descriptor N, and do not ask for it.",
)

out_folder = click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder for the files, made where it is missing.",
)
json_files = click.option(
    "--json", "as_json", is_flag=True, help="What was made, as one JSON object."
)


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
