"""`strongroom log keep`: store each leaf before its client acts on it; serve the log meanwhile."""

import json
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from strongroom_host.cli.daemon import WithStdinOption
from strongroom_host.cli.log_memory import memory_beside, remember_pulled
from strongroom_host.cli.log_options import (
    DEFAULT_CLIENT,
    DEFAULT_LOG,
    ClientOption,
    LogOption,
    ManifestFile,
    TrustFile,
)
from strongroom_host.cli.log_source import EnclaveLog
from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import say, warn
from strongroom_host.cli.session import DEFAULT_ENCLAVE, EnclaveOption
from strongroom_host.cli.trading import ClientFolder
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.errors import EnvironmentFault
from strongroom_host.log.boots import StoredBoot
from strongroom_host.log.cosigning import parse_witness, witnesses_at
from strongroom_host.log.http import build_app
from strongroom_host.log.keeper import Keeper, KeeperStopped
from strongroom_host.log.keeper_socket import KeeperSocket
from strongroom_host.log.notes import SignedHead
from strongroom_host.log.serving import LogServer
from strongroom_host.log.stored import FolderStorage, StoredLog
from strongroom_host.owner.signed import read_manifest
from strongroom_host.witness.server import listen, parse_address

__all__ = ["keep"]

_WELL: Final = "all is well: new leaves are kept"
_REMEMBER_S: Final = 600.0
"""How often the owner's memory is added to; each time is a line in a file that only grows."""


def keep(
    log: LogOption = DEFAULT_LOG,
    client: ClientOption = DEFAULT_CLIENT,
    listen_at: Annotated[
        Path | None,
        typer.Option(
            "--listen",
            metavar="SOCKET",
            help="Where clients ask (default: keeper.sock in the client's folder).",
        ),
    ] = None,
    listen_http: Annotated[
        str | None,
        typer.Option(
            "--listen-http", metavar="ADDRESS:PORT", help="Also serve the log here (tlog-tiles)."
        ),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL", help="Have this witness of the manifest cosign. Repeatable."
        ),
    ] = None,
    every: Annotated[
        float, typer.Option(min=0.05, max=3600, help="Fetch and publish so often, in seconds.")
    ] = 1.0,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    manifest: ManifestFile = None,
    trust: TrustFile = None,
    with_stdin: WithStdinOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Store each leaf before its client acts on it, until Ctrl-C or SIGTERM.

    It reconnects when the enclave is booted anew. When anything contradicts the stored log it ends
    with status 3, and no client that asks it sends an order before a person has looked.
    """
    folder = ClientFolder(client.expanduser())
    urls = [parse_witness(text) for text in witness or []]
    source = EnclaveLog(folder, parse_enclave_address(enclave), manifest, trust, urls)
    document = read_manifest(source.manifest_path)[0].manifest
    if len(witnesses_at(document, urls)) < document.witness_quorum:
        warn(
            f"the manifest wants {document.witness_quorum} witnesses to cosign, and this asks"
            f" {len(urls)}: whoever verifies the log is told (--witness NAME=URL)"
        )
    path = (listen_at or folder.keeper).expanduser()
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    with ExitStack() as stack:
        keeper = stack.enter_context(Keeper(log.expanduser(), source.source))
        address = None
        if listen_http is not None:
            listener = stack.enter_context(listen(*parse_address(listen_http)))
            address = "{}:{}".format(*listener.getsockname()[:2])
            stack.enter_context(LogServer(build_app(FolderStorage(log.expanduser())), listener))
        stack.enter_context(KeeperSocket(path, keeper))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        if with_stdin:
            end_with_stdin()
        _ready(path, keeper.size, address, as_json=as_json)
        try:
            heard = _Memory(log).heard
            keeper.run(stop, every, lambda text: warn(text) if text else say(_WELL), heard)
        except KeeperStopped:
            if isinstance(keeper.fault, EnvironmentFault):
                raise keeper.fault from None  # a disk that is full may have room again: status 5
            raise


class _Memory:
    """Puts heads into the memory of the owner in whose folder the log is, if it is in one; so the
    next permit knows how far the log was, whatever becomes of the stored copy."""

    def __init__(self, log: Path) -> None:
        self._folder, self._memory = log.expanduser(), memory_beside(log)
        self._due, self._size = 0.0, 0

    def heard(self, signed: SignedHead, boot: StoredBoot) -> None:
        """Remembers a head, at most once in a while."""
        grown = signed.head.size > self._size
        if self._memory is not None and grown and time.monotonic() >= self._due:
            self._due, self._size = time.monotonic() + _REMEMBER_S, signed.head.size
            reader = StoredLog(self._folder).reader()
            origin = signed.checkpoint.origin
            remember_pulled(self._memory, origin, reader, signed.head, boot.boot_id)


def _ready(path: Path, size: int, address: str | None, *, as_json: bool) -> None:
    if as_json:
        ready = {"ready": True, "socket": str(path), "leaves": size, "http": address}
        typer.echo(json.dumps(ready))
        return
    also = "" if address is None else f", and served at http://{address}/"
    say(f"{size} leaves are stored; kept for clients at {path}{also}")
