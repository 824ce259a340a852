"""`strongroom gateway`: disclosed returns over HTTP, and the keys to ask for them."""

import json
import os
import signal
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.errors import BadInput
from strongroom_host.gateway.errors import NotLimited, ReaderUnknown
from strongroom_host.gateway.keys import ApiKey, KeyStore, Scope
from strongroom_host.gateway.limits import Rate
from strongroom_host.gateway.reading import Reader
from strongroom_host.log.errors import LogAbsent
from strongroom_host.log.serving import NotServing
from strongroom_host.log.stored import FolderStorage
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.roles import GATEWAY, READER_PREFIX
from strongroom_host.witness.server import listen, parse_address

__all__ = ["app"]

app = typer.Typer(name="gateway", help="Serve disclosed returns over HTTP.", no_args_is_help=True)
keys_app = typer.Typer(name="key", help="Who may ask, for what, about whom.", no_args_is_help=True)
app.add_typer(keys_app)

_AS_ROOT = os.geteuid() == 0
DEFAULT_FOLDER = Path("/var/lib/strongroom/gateway" if _AS_ROOT else "~/.strongroom/gateway")
DEFAULT_DB = Path("/var/lib/strongroom/db" if _AS_ROOT else "~/.strongroom/db")
_READERS: Final = Logins(Path()).path(READER_PREFIX).stem
"""How the files of readers' logins begin."""
FolderOption = Annotated[
    Path,
    typer.Option(
        "--folder",
        envvar="STRONGROOM_GATEWAY",
        metavar="DIR",
        help="The gateway's own database: keys, and a secret.",
    ),
]
DbOption = Annotated[
    Path,
    typer.Option(
        "--db",
        envvar="STRONGROOM_DB",
        metavar="DIR",
        help="Where gateway.dsn is, and readers' logins.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def run(
    folder: FolderOption = DEFAULT_FOLDER,
    db: DbOption = DEFAULT_DB,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="DIR", help="The record's log, served as it is.")
    ] = None,
    listen_http: Annotated[
        str, typer.Option("--listen-http", metavar="ADDRESS:PORT", help="Where to answer.")
    ] = "127.0.0.1:7800",
    listen_metrics: Annotated[
        str | None,
        typer.Option(
            "--listen-metrics",
            metavar="ADDRESS:PORT",
            help="Where to answer Prometheus; nowhere by default.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificates, PEM.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Their key, PEM.")
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy",
            metavar="ADDRESS",
            help="A proxy that ends TLS; its X-Forwarded-For is believed. Repeatable.",
        ),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin", metavar="ORIGIN", help="A web page's origin (CORS). Repeatable."
        ),
    ] = None,
    per_second: Annotated[
        int, typer.Option("--per-second", min=1, max=10_000, help="Requests a second, of a key.")
    ] = 10,
    burst: Annotated[
        int, typer.Option("--burst", min=10, max=100_000, help="Requests at once, of a key.")
    ] = 120,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Serve what was disclosed until Ctrl-C or SIGTERM.

    It starts only with a database login that can read the two tables of that and do nothing else.
    """
    # The web framework takes a second to import, which only serving needs.
    from strongroom_host.gateway.app import Gateway, Limits
    from strongroom_host.gateway.serving import Server, require_safe, tls

    host, port = parse_address(listen_http)
    if (tls_cert is None) != (tls_key is None):
        raise BadInput("a certificate goes with its key", expected="both --tls-cert and --tls-key")
    context = None if tls_cert is None or tls_key is None else tls(tls_cert, tls_key)
    require_safe(host, encrypted=context is not None, behind_proxy=bool(proxy))
    if log is not None and not log.expanduser().is_dir():
        raise LogAbsent(f"{log} is no log", remedy="name the folder of the log with --log")
    storage = None if log is None else FolderStorage(log.expanduser())
    logins = Logins(db.expanduser())
    limits = Limits(Rate(burst, per_second), Rate(2 * burst, 2 * per_second))
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    with ExitStack() as stack:
        reader = Reader(lambda login: logins.dsn(READER_PREFIX + login if login else GATEWAY))
        stack.callback(reader.close)
        reader.check()
        keys = KeyStore(folder.expanduser())
        stack.callback(keys.close)
        gateway = Gateway(
            keys,
            reader,
            _now_ms,
            limits,
            log=storage,
            log_folder=None if log is None else log.expanduser(),
            origins=allow_origin or (),
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        listener = stack.enter_context(listen(host, port))
        server = Server(gateway.app, listener, context=context, proxies=proxy or ())
        stack.enter_context(server)
        scheme = "http" if context is None else "https"
        told: dict[str, object] = {"ready": True, "url": _url(scheme, listener.getsockname())}
        if listen_metrics is not None:
            metrics = stack.enter_context(listen(*parse_address(listen_metrics)))
            stack.enter_context(Server(gateway.monitoring, metrics))
            told["metrics"] = _url("http", metrics.getsockname()) + "metrics"
        if as_json:
            typer.echo(json.dumps(told))
        else:
            say(
                f"disclosed returns are served at {told['url']}v1/, described by openapi.json there"
            )
            if "metrics" in told:
                say(f"for Prometheus: {told['metrics']}")
        while not stop.wait(0.2):
            if not server.alive:
                raise NotServing("the gateway ended by itself")


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, for people.")],
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it is for. Repeatable.")],
    user: Annotated[
        list[str] | None, typer.Option("--user", help="A user whom it may see. Repeatable.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="It may see all users.")] = False,
    login: Annotated[
        str,
        typer.Option(
            "--login",
            metavar="READER",
            help="Ask the database with this reader's login (`strongroom db reader`), which holds"
            " whoever takes the gateway over to its users.",
        ),
    ] = "",
    days: Annotated[int, typer.Option("--days", help="Until it expires, at most 366.")] = 90,
    folder: FolderOption = DEFAULT_FOLDER,
    db: DbOption = DEFAULT_DB,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and show it, once: only its digest is kept."""
    if bool(user) == everybody:
        raise NotLimited(
            "whom the key may see has to be said", expected="--user, or --everybody, not both"
        )
    if login:
        _require_reader(db, login)
    text, kept = _store(folder).create(
        name, scope, None if everybody else user, now_ms=_now_ms(), days=days, login=login
    )
    if as_json:
        print_json({"key": text, **_plain(kept)})
        return
    typer.echo(text)
    warn(f"this is the only time that the key {kept.id} is shown")


@keys_app.command(name="list")
def list_keys(folder: FolderOption = DEFAULT_FOLDER, as_json: JsonOption = False) -> None:
    """List all keys, without what opens anything."""
    found = _store(folder).listed()
    if as_json:
        print_json([_plain(key) for key in found])
        return
    now_ms = _now_ms()
    table(
        "keys",
        ("id", "name", "state", "for", "users", "expires", "last used"),
        (
            (
                key.id,
                key.name,
                key.state(now_ms),
                ", ".join(sorted(key.access.scopes)),
                "everybody" if key.access.users is None else ", ".join(sorted(key.access.users)),
                _day(key.expires_ms),
                "never" if key.used_ms is None else _day(key.used_ms),
            )
            for key in found
        ),
    )


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `key list` has it.")],
    folder: FolderOption = DEFAULT_FOLDER,
) -> None:
    """End a key and every token made with it, from the next request on."""
    _store(folder).revoke(key_id, _now_ms())
    say(f"the key {key_id} opens nothing any more")


def _require_reader(db: Path, login: str) -> None:
    """Returns if the gateway has this reader's login: a key without one would open nothing."""
    logins = Logins(db.expanduser())
    known = sorted(
        path.stem.removeprefix(_READERS) for path in logins.folder.glob(f"{_READERS}*.dsn")
    )
    if login not in known:
        raise ReaderUnknown(
            f"the database has no reader {login!r} that is known in {db}",
            expected=", ".join(known) or "a reader",
            actual=login,
            remedy=f"make it, `strongroom db reader {login} --user USER`, and have its file beside"
            f" {logins.path(GATEWAY).name} where the gateway runs; or name that folder with --db",
        )


def _store(folder: Path) -> KeyStore:
    return KeyStore(folder.expanduser())


def _plain(key: ApiKey) -> dict[str, object]:
    users = None if key.access.users is None else sorted(key.access.users)
    return {
        "id": key.id,
        "name": key.name,
        "state": key.state(_now_ms()),
        "scopes": sorted(key.access.scopes),
        "users": users,
        "login": key.access.login,
        "created_ms": key.created_ms,
        "expires_ms": key.expires_ms,
        "revoked_ms": key.revoked_ms,
        "used_ms": key.used_ms,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _url(scheme: str, address: tuple[object, ...]) -> str:
    host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
    return f"{scheme}://{host}:{address[1]}/"
