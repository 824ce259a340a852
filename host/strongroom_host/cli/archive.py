"""`strongroom archive`: keep a log where nobody can change or delete it before its time."""

import getpass
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from strongroom_host.archive.check import ArchiveReport, Trusted, check
from strongroom_host.archive.contents import look
from strongroom_host.archive.errors import ArchiveError
from strongroom_host.archive.export import Order, export
from strongroom_host.archive.keeping import hold, retain
from strongroom_host.archive.places import open_store
from strongroom_host.archive.restore import restore
from strongroom_host.archive.sealed import KEY_SIZE, key_id, read_key
from strongroom_host.archive.store import day, parse_retention
from strongroom_host.cli.archive_show import show
from strongroom_host.cli.archive_words import as_json, print_export, print_report, print_status
from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.errors import BadInput
from strongroom_host.log.attested import ProvedBoot, prove_boot
from strongroom_host.log.boots import Boots, StoredBoot
from strongroom_host.log.notes import VerifierKey
from strongroom_host.log.openings import Openings
from strongroom_host.log.report.words import quantity
from strongroom_host.log.stored import StoredLog
from strongroom_host.owner.signed import read_manifest
from strongroom_host.private_files import write_private
from strongroom_host.trust.record import Trust

__all__ = ["app", "export_command"]

app = typer.Typer(
    help="Archive the log to S3 with Object Lock, or to a write-once directory.",
    no_args_is_help=True,
)
app.command("show")(show)

Place = Annotated[str, typer.Argument(metavar="PLACE", help="s3://BUCKET/PREFIX, or a directory.")]
LogOption = Annotated[Path, typer.Option("--log", metavar="DIR", help="Where the log is kept.")]
Endpoint = Annotated[
    str, typer.Option("--endpoint", metavar="URL", help="A service that speaks S3, not Amazon's.")
]
Region = Annotated[str, typer.Option("--region", metavar="NAME", help="The bucket's region.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--openings-key", metavar="FILE", help="Key of the sealed openings."),
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does it; by default the user.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; it is recorded.")]
Retention = Annotated[
    str,
    typer.Option(
        metavar="PERIOD", help="How long from now, such as 90d or 6y. Nobody can shorten it."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_LOG = Path("~/.strongroom/owner/log")


@app.command("key")
def key_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the key is, or goes.")],
) -> None:
    """Make the key that seals archived openings, if it is not there, and print its id."""
    if not file.expanduser().exists():
        write_private(file.expanduser(), secrets.token_hex(KEY_SIZE).encode() + b"\n")
        say(f"a new key is in {file}: whoever has it reads the archived openings, and without it")
        say("they are lost. Give a copy to somebody who keeps it apart from the archive.")
    say(f"id of the key: {key_id(read_key(file.expanduser())).hex()}")


@app.command("export")
def export_command(
    place: Place,
    retention: Retention,
    log: LogOption = DEFAULT_LOG,
    openings_key: KeyFile = None,
    endpoint: Endpoint = "",
    region: Region = "",
    by: By = "",
    json: AsJson = False,
) -> None:
    """Archive the log up to its newest signed head; only what is missing is written."""
    folder, period = log.expanduser(), parse_retention(retention)
    key = _key(openings_key)
    with Openings(folder) as openings:
        order = Order(
            StoredLog(folder),
            Boots(folder),
            openings,
            key,
            period,
            _now(),
            _who(by),
            _progress("archived"),
        )
        store = open_store(place, endpoint, region)
        done = export(order, store)
    if json:
        print_json(as_json(done))
    else:
        print_export(done, store, order.until_ms, sealed=bool(key))


@app.command("verify")
def verify_command(
    place: Place,
    key: Annotated[
        list[str] | None, typer.Option(metavar="VKEY", help="A key that may sign the log's heads.")
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Trust file: proves the archived evidence of boots."),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A signed manifest of the account, if the trust file is pinned to none.",
        ),
    ] = None,
    openings_key: KeyFile = None,
    endpoint: Endpoint = "",
    region: Region = "",
    json: AsJson = False,
) -> None:
    """Read everything again: digests, leaves, heads, signature, and what protects it."""
    trusted = Trusted(
        [VerifierKey.parse(text) for text in key or ()],
        None if trust is None else _proving(Trust.load(trust.expanduser()), manifest),
        _key(openings_key),
    )
    store = open_store(place, endpoint, region)
    report = check(store, trusted, now_ms=_now(), progress=_progress("verified"))
    if json:
        print_json(as_json(report))
    else:
        print_report(report, store)
    _conclude(report, place)


@app.command("restore")
def restore_command(
    place: Place,
    log: Annotated[Path, typer.Option("--log", metavar="DIR", help="Where the log is put.")],
    openings_key: KeyFile = None,
    endpoint: Endpoint = "",
    region: Region = "",
) -> None:
    """Make a log's folder of the newest archived one; `strongroom log verify` verifies it."""
    store = open_store(place, endpoint, region)
    done = restore(store, log.expanduser(), _key(openings_key), _progress("restored"))
    say(f"{done.manifest.size} leaves in {log}, {done.added} of them new; {done.boots} boots")
    if done.manifest.openings:
        say(f"{done.openings} openings" if openings_key else "openings: sealed, and no key given")


@app.command("hold")
def hold_command(
    state: Annotated[Literal["on", "off"], typer.Argument(help="Put it, or lift it.")],
    place: Place,
    why: Why,
    endpoint: Endpoint = "",
    region: Region = "",
    by: By = "",
) -> None:
    """Put a legal hold on all that is archived, and will be, or lift it."""
    store = open_store(place, endpoint, region)
    count = hold(store, on=state == "on", now_ms=_now(), by=_who(by), why=why)
    say(f"legal hold {state}: {count} objects of {place} changed")


@app.command("retain")
def retain_command(
    place: Place,
    retention: Retention,
    why: Why,
    endpoint: Endpoint = "",
    region: Region = "",
    by: By = "",
) -> None:
    """Keep all that is archived longer, from now on; never shorter."""
    store, now = open_store(place, endpoint, region), _now()
    until = now + parse_retention(retention)
    count = retain(store, until, now_ms=now, by=_who(by), why=why)
    say(f"kept until {day(until)} or longer: {count} objects of {place} changed")


@app.command("status")
def status(
    place: Place, endpoint: Endpoint = "", region: Region = "", json: AsJson = False
) -> None:
    """What is archived, until when it is kept, and who did what to it."""
    store = open_store(place, endpoint, region)
    print_status(look(store), store, _now(), json=json)


def _conclude(report: ArchiveReport, place: str) -> None:
    if not report.ok:
        raise ArchiveError(
            f"the archive at {place} is not in order",
            expected="every object, as its name says and protected; leaves that lead to the head",
            actual=quantity(len(report.findings), "finding"),
            remedy="leave it as it is, and compare it with another copy or with the log",
        )


def _proving(trust: Trust, manifest: Path | None) -> Callable[[StoredBoot], ProvedBoot]:
    if trust.caution:
        warn(trust.caution)
    if manifest is not None:
        trust = trust.pinned_to(read_manifest(manifest.expanduser())[0])
    if trust.owner_root is None:
        raise BadInput(
            "nothing says whose log this is: the trust file names no owners",
            remedy="give a signed manifest of the account: --manifest FILE",
        )
    owners = bytes.fromhex(trust.owner_root)
    return lambda stored: prove_boot(stored, trust, owners)


def _key(path: Path | None) -> bytes:
    return b"" if path is None else read_key(path.expanduser())


def _now() -> int:
    return time.time_ns() // 1_000_000


def _who(by: str) -> str:
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        return f"user {os.getuid()}"


def _progress(done: str) -> Callable[[int, int], None]:
    """Shows how far it is, on a terminal only."""
    console = Console(stderr=True, highlight=False)
    if not sys.stderr.isatty():
        return lambda _leaves, _all: None

    def progress(leaves: int, whole: int) -> None:
        console.print(
            f"{done} {leaves:,} of {whole:,} leaves", end="\r" if leaves < whole else "\n"
        )

    return progress
