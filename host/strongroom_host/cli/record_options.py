"""Options that the commands about a track record share."""

import os
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DEFAULT_DB", "DEFAULT_RECORD", "AccountArgument", "DbOption", "RecordOption"]

_AS_ROOT = os.geteuid() == 0
DEFAULT_DB = Path("/var/lib/strongroom/db" if _AS_ROOT else "~/.strongroom/db")
DEFAULT_RECORD = Path("/var/lib/strongroom/record" if _AS_ROOT else "~/.strongroom/record")
DbOption = Annotated[
    Path,
    typer.Option(
        "--db",
        envvar="STRONGROOM_DB",
        metavar="DIR",
        help="How to log in, and the server's data if it is our own (`strongroom db init`).",
    ),
]
RecordOption = Annotated[
    Path,
    typer.Option(
        "--record",
        envvar="STRONGROOM_RECORD",
        metavar="DIR",
        help="The record's log, and the sockets of `record serve`.",
    ),
]
AccountArgument = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="Its name in the manifest.")
]
