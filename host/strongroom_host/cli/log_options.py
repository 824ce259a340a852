"""Options of the `strongroom log` commands."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "DEFAULT_CLIENT",
    "DEFAULT_LOG",
    "ClientOption",
    "LogOption",
    "ManifestFile",
    "TrustFile",
]

LogOption = Annotated[Path, typer.Option("--log", metavar="DIR", help="Where the log is kept.")]
ClientOption = Annotated[
    Path,
    typer.Option(
        "--client", envvar="STRONGROOM_CLIENT", metavar="DIR", help="A client that may call `log`."
    ),
]
_IN_FOLDER = "Default: the one in the client's folder."
ManifestFile = Annotated[Path | None, typer.Option("--manifest", metavar="FILE", help=_IN_FOLDER)]
TrustFile = Annotated[Path | None, typer.Option("--trust", metavar="FILE", help=_IN_FOLDER)]
DEFAULT_LOG = Path("~/.strongroom/owner/log")
DEFAULT_CLIENT = Path("~/.strongroom/client")
