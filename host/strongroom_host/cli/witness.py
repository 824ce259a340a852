"""`strongroom witness`: cosign the heads of other people's logs, one history of each."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from strongroom_host.cli.daemon import WithStdinOption
from strongroom_host.cli.orphans import end_with_stdin
from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.errors import BadInput
from strongroom_host.log.notes import SignatureType, VerifierKey
from strongroom_host.owner.signed import read_manifest
from strongroom_host.witness.folder import WitnessFolder
from strongroom_host.witness.http import build_app
from strongroom_host.witness.memory import FollowedOwners, Memory
from strongroom_host.witness.server import Certificate, listen, parse_address, serve
from strongroom_host.witness.signing import Witness

__all__ = ["app"]

app = typer.Typer(
    name="witness",
    help="Vouch that everybody is shown the same history of a log (C2SP tlog-witness).",
    no_args_is_help=True,
)

FolderOption = Annotated[
    Path,
    typer.Option(
        "--witness", envvar="STRONGROOM_WITNESS", metavar="DIR", help="The witness's folder."
    ),
]
DEFAULT_FOLDER = Path("~/.strongroom/witness")


@app.command()
def init(
    name: Annotated[
        str, typer.Option(help="Its name for others: a URL without scheme, such as w.example/1.")
    ],
    witness: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Make a new witness, and print the key that manifests name."""
    key = _folder(witness).create(name)
    say(str(key))
    warn(
        "this key is worth nothing without the memory beside it, and dangerous with an old copy of"
        " it: do not restore the folder from a backup, make a new witness instead"
    )


@app.command("key")
def key_command(witness: FolderOption = DEFAULT_FOLDER) -> None:
    """Print the key that manifests name."""
    say(str(_folder(witness).key().public))


@app.command()
def follow(
    key: Annotated[
        str | None, typer.Argument(metavar="VKEY", help="A log's key, of any C2SP log.")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(help="The log's first line, where it is not the name of its key."),
    ] = None,
    owner_root: Annotated[
        str | None, typer.Option(metavar="HEX", help="Owner root of an enclave's account.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="The account's name in its manifest.")] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A signed manifest: its owner root and account."),
    ] = None,
    witness: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Follow a log: by its key, or by its owners, whose permits then say which keys are its own.

    A log of an enclave has a new key in every boot; follow its owners.
    """
    with _memory(witness) as memory:
        if key is not None and (owner_root, account, manifest) == (None, None, None):
            log = VerifierKey.parse(key)
            if log.kind is not SignatureType.ED25519:
                raise BadInput(
                    "this is a witness's key", expected="a vkey of type 1", actual=str(log)
                )
            memory.follow_key(log, origin)
            say(f"follows {origin or log.name}")
            return
        if origin is not None:
            raise BadInput("--origin goes with a VKEY", expected="owners name their logs' origins")
        owners = _owners(key, owner_root, account, manifest)
        memory.follow_owners(owners)
        for _, origin in owners.origins():
            say(f"follows {origin}")


@app.command()
def status(
    witness: FolderOption = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List the logs that it follows, what it cosigned last, and who has shown two histories.

    Exit status 3 when a log has.
    """
    folder = _folder(witness)
    with folder.memory() as memory:
        rows = [_row(memory, origin) for origin in memory.origins()]
    if as_json:
        print_json({"key": str(folder.key().public), "logs": rows})
    else:
        say(str(folder.key().public))
        for row in rows:
            when = row["cosigned"] or "never cosigned"
            say(f"{row['size']:>12}  {when:<25}  {row['keys']:>4} keys  {row['origin']}")
    if any(row["contradictions"] for row in rows):
        for row in rows:
            if row["contradictions"]:
                warn(
                    f"{row['origin']} has signed two histories; the notes that prove it:"
                    " `strongroom witness evidence`"
                )
        raise typer.Exit(3)


@app.command()
def evidence(
    origin: Annotated[str, typer.Argument(metavar="ORIGIN", help="The log's name.")],
    witness: FolderOption = DEFAULT_FOLDER,
) -> None:
    """Print, as JSON, the pairs of signed notes that prove two histories of one log."""
    with _memory(witness) as memory:
        pairs = memory.contradictions(origin)
    print_json([{"shown": a.decode(), "cosigned": b.decode()} for a, b in pairs])


@app.command()
def run(
    witness: FolderOption = DEFAULT_FOLDER,
    listen_on: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where to answer.")
    ] = "127.0.0.1:7780",
    certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="TLS chain; else a proxy has to end TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="PEM", help="Its private key.")] = None,
    with_stdin: WithStdinOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready.")
    ] = False,
) -> None:
    """Answer logs and monitors until Ctrl-C or SIGTERM."""
    if (certificate is None) != (key is None):
        raise BadInput("a certificate without its key, or a key alone", expected="both or none")
    tls = None if certificate is None or key is None else Certificate(certificate, key)
    folder = _folder(witness)
    signing_key = folder.key()
    with folder.memory() as memory, listen(*parse_address(listen_on)) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        url = f"{'http' if tls is None else 'https'}://{shown}:{port}"
        say_ready = _ready(url, str(signing_key.public), as_json=as_json)

        def ready() -> None:
            if with_stdin:
                end_with_stdin()
            say_ready()

        serve(build_app(Witness(signing_key, memory, time.time), warn), listener, tls, ready)


def _ready(url: str, key: str, *, as_json: bool) -> Callable[[], None]:
    def ready() -> None:
        if as_json:
            typer.echo(json.dumps({"ready": True, "url": url, "key": key}))
        else:
            say(f"answers at {url} as {key}")

    return ready


def _row(memory: Memory, origin: str) -> dict[str, object]:
    recorded = memory.recorded(origin)
    when = "" if recorded is None else datetime.fromtimestamp(recorded.seconds, UTC).isoformat()
    return {
        "origin": origin,
        "size": 0 if recorded is None else recorded.head.size,
        "root": None if recorded is None else recorded.head.root.hex(),
        "cosigned": when,
        "keys": len(memory.keys(origin)),
        "contradictions": len(memory.contradictions(origin)),
    }


def _owners(
    key: str | None, owner_root: str | None, account: str | None, manifest: Path | None
) -> FollowedOwners:
    if key is None and manifest is not None and (owner_root, account) == (None, None):
        read, _ = read_manifest(manifest)
        return FollowedOwners(read.manifest.owner_root, read.manifest.account)
    if key is None and manifest is None and owner_root is not None and account is not None:
        try:
            root = bytes.fromhex(owner_root)
        except ValueError:
            root = b""
        if len(root) == 32:
            return FollowedOwners(root, account)
    raise BadInput(
        "it is not said which log to follow",
        expected="VKEY, or --owner-root (64 hex digits) and --account, or --manifest",
        remedy="`strongroom manifest show` and `owner show` print root and account",
    )


def _folder(witness: Path) -> WitnessFolder:
    return WitnessFolder(witness.expanduser())


def _memory(witness: Path) -> Memory:
    return _folder(witness).memory()
