"""`strongroom log serve`: a stored log over HTTP, for everybody who may verify it."""

import json
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from strongroom_host.cli.log_options import DEFAULT_LOG, LogOption
from strongroom_host.cli.output import say
from strongroom_host.log.errors import LogAbsent
from strongroom_host.log.http import build_app
from strongroom_host.log.serving import LogServer
from strongroom_host.log.stored import FolderStorage
from strongroom_host.witness.server import listen, parse_address

__all__ = ["serve"]


def serve(
    log: LogOption = DEFAULT_LOG,
    listen_http: Annotated[
        str, typer.Option("--listen-http", metavar="ADDRESS:PORT", help="Where to answer.")
    ] = "127.0.0.1:7790",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Serve a log as C2SP tlog-tiles, with the evidence of its boots, until Ctrl-C or SIGTERM.

    Only what is published is served, no opening ever. A keeper may write the log meanwhile.
    """
    folder: Path = log.expanduser()
    if not folder.is_dir():
        raise LogAbsent(f"{log} is no log", remedy="name the folder of the log with --log")
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    with (
        listen(*parse_address(listen_http)) as listener,
        LogServer(build_app(FolderStorage(folder)), listener),
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        url = "http://{}:{}/".format(*listener.getsockname()[:2])
        if as_json:
            typer.echo(json.dumps({"ready": True, "url": url}))
        else:
            say(f"{log} is served at {url}")
        while not stop.wait(0.5):
            pass
