"""`strongroom record serve`: what a track record needs of the host, until Ctrl-C or SIGTERM."""

import json
import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from strongroom_host.cli.daemon import STORE, STORE_SOCKET, WithStdinOption
from strongroom_host.cli.log_meant import OwnerFolderOption
from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import say
from strongroom_host.cli.record_options import DEFAULT_DB, DEFAULT_RECORD, DbOption, RecordOption
from strongroom_host.cli.session import DEFAULT_ENCLAVE, DEFAULT_OWNER, EnclaveOption
from strongroom_host.egress import parse_target
from strongroom_host.enclave_client.address import parse_enclave_address
from strongroom_host.errors import BadInput
from strongroom_host.gateway.counting import CONTENT_TYPE
from strongroom_host.log.cosigning import parse_witness
from strongroom_host.log.http import build_app
from strongroom_host.log.serving import LogServer
from strongroom_host.log.stored import FolderStorage
from strongroom_host.owner.folder import OwnerFolder
from strongroom_host.record_serving.listening import CallsAddress
from strongroom_host.record_serving.service import RecordPlan, RecordService, record_service
from strongroom_host.record_serving.telling import OperatorLog
from strongroom_host.record_serving.vouching import EnclaveVouching
from strongroom_host.record_store.embedded import EmbeddedServer
from strongroom_host.record_store.errors import ServerFailed
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.port_serving import Address
from strongroom_host.record_store.roles import ENCLAVE, GATEWAY
from strongroom_host.record_store.serving import served
from strongroom_host.witness.server import listen, parse_address

__all__ = ["serve"]

_LOOK_S: Final = 2.0
"""How often it is looked whether the folder's own database server is still there."""


def serve(
    record: RecordOption = DEFAULT_RECORD,
    db: DbOption = DEFAULT_DB,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="DIR", help="The record's log (default: log in --record)."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="The signed manifest in force (default: the owner's, where that is this machine).",
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust",
            metavar="FILE",
            help="What its evidence is held against (default likewise).",
        ),
    ] = None,
    owner: OwnerFolderOption = DEFAULT_OWNER,
    enclave: EnclaveOption = DEFAULT_ENCLAVE,
    listen_at: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="ADDRESS:PORT|unix:PATH",
            help="The store port (default: store.sock in --record). `host run --record` leads"
            " there.",
        ),
    ] = None,
    listen_calls: Annotated[
        str | None,
        typer.Option(
            "--listen-calls",
            metavar="ADDRESS:PORT|unix:PATH",
            help="gRPC (default: calls.sock in --record); over the network with mutual TLS.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificates for calls, PEM.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Their key, PEM, mode 0600.")
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option("--client-ca", metavar="FILE", help="Who signs callers' certificates, PEM."),
    ] = None,
    listen_metrics: Annotated[
        str | None,
        typer.Option("--listen-metrics", metavar="ADDRESS:PORT", help="Answer Prometheus here."),
    ] = None,
    listen_http: Annotated[
        str | None,
        typer.Option(
            "--listen-http",
            metavar="ADDRESS:PORT",
            help="Show the record's log here, read only: `log mirror --role record` copies it.",
        ),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL", help="Have this witness of the manifest cosign. Repeatable."
        ),
    ] = None,
    every: Annotated[
        int, typer.Option(min=60, max=86_400, help="Synchronise each account so often, in seconds.")
    ] = 3600,
    with_stdin: WithStdinOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Keep a track record's rows and log, hand out its synchronisations, answer calls.

    Lines of JSON on stderr say what happens. It holds no key: what an account's owner must not
    lose is encrypted before it comes here.
    """
    home = OwnerFolder(owner.expanduser())
    if manifest is None and not home.manifest_path.exists():
        raise BadInput(
            f"nothing says whose record it is: there is no owner in {owner}",
            remedy="name the signed manifest and the trust file, as its owner hands them out:"
            " --manifest FILE --trust FILE",
        )
    vouching = EnclaveVouching(
        parse_enclave_address(enclave),
        (manifest or home.manifest_path).expanduser(),
        (trust or home.trust_path).expanduser(),
        [parse_witness(text) for text in witness or []],
    )
    vouching.check()
    folder, logins = record.expanduser(), Logins(db.expanduser())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    calls = CallsAddress(
        listen_calls or f"unix:{folder / 'calls.sock'}", tls_cert, tls_key, client_ca
    )
    plan = RecordPlan(
        dsn=logins.dsn(ENCLAVE),
        disclosed_dsn=logins.dsn(GATEWAY),
        log=(log or folder / "log").expanduser(),
        origin=vouching.origin,
        vouched=vouching,
        port=_address(listen_at or f"unix:{folder / STORE_SOCKET}"),
        calls=calls,
        every_s=every,
    )
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    told = OperatorLog(sys.stderr)
    with ExitStack() as stack:
        stack.enter_context(served(db.expanduser()))
        if with_stdin:
            end_with_stdin()
        service = stack.enter_context(record_service(plan, told))
        facts = _facts(plan, service)
        if listen_metrics is not None:
            listener = stack.enter_context(listen(*parse_address(listen_metrics)))
            stack.enter_context(LogServer(_monitoring(service), listener))
            facts["metrics"] = "http://{}:{}/metrics".format(*listener.getsockname()[:2])
        if listen_http is not None:
            listener = stack.enter_context(listen(*parse_address(listen_http)))
            stack.enter_context(LogServer(build_app(FolderStorage(plan.log)), listener))
            facts["log_url"] = "http://{}:{}".format(*listener.getsockname()[:2])
        _ready(facts, as_json=as_json)
        told.say("serving", **facts)
        own = EmbeddedServer(db.expanduser())
        while not stop.wait(_LOOK_S):
            if own.exists and not own.alive():
                raise ServerFailed(
                    "the database server ended by itself",
                    remedy=f"see {own.folder / 'server.log'}, and start this again",
                )
        told.say("stopping")


def _facts(plan: RecordPlan, service: RecordService) -> dict[str, object]:
    host, port = service.port
    place = f"unix:{host}" if port == 0 else f"{host}:{port}"
    calls = "" if plan.calls is None else plan.calls.target
    if plan.calls is not None and not plan.calls.local:
        calls = f"{calls.rpartition(':')[0]}:{service.calls}"
    return {
        "address": place,
        "map": f"{STORE}={place}",
        "calls": calls,
        "log": str(plan.log),
        "origin": plan.origin,
    }


def _ready(facts: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ready": True, "pid": os.getpid(), **facts}))
        return
    say(f"the store port is {facts['address']}; the host leads there with --record DIR, or with")
    say(f"  strongroom host run --map {facts['map']}")
    say(f"calls are answered at {facts['calls']}")
    if "log_url" in facts:
        say(f"its log is shown at {facts['log_url']}")


def _monitoring(service: RecordService) -> Starlette:
    def metrics(_request: Request) -> Response:
        return Response(service.metrics(), media_type=CONTENT_TYPE)

    return Starlette(routes=[Route("/metrics", metrics)])


def _address(text: str) -> Address:
    if text.startswith("unix:"):
        return Path(text.removeprefix("unix:")).expanduser()
    host, _, port = text.rpartition(":")
    if port == "0":
        return host, 0
    target = parse_target(text)
    return target.host, target.port
