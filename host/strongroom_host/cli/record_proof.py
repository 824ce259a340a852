"""`strongroom record prove` and `verify`: one return as a file, and what it proves, offline."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from strongroom_wire.errors import WireError
from strongroom_wire.manifest import Tier

from strongroom_host.charts.scales import moment
from strongroom_host.cli.log_meant import (
    ClientFolderOption,
    LogRole,
    ManifestFileOption,
    OwnerFolderOption,
    TrustFileOption,
    whose_log,
)
from strongroom_host.cli.log_options import DEFAULT_CLIENT
from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.cli.record_memory import remember_proved, remember_record
from strongroom_host.cli.record_options import (
    DEFAULT_DB,
    DEFAULT_RECORD,
    AccountArgument,
    DbOption,
    RecordOption,
)
from strongroom_host.cli.session import DEFAULT_OWNER, JsonOption
from strongroom_host.errors import BadInput
from strongroom_host.log.errors import OpeningWrong
from strongroom_host.log.return_proof import (
    MAX_RETURN_PROOF,
    ProvedReturn,
    ReturnProof,
    prove_return,
    return_proof,
)
from strongroom_host.log.sources import open_source
from strongroom_host.log.witnessed import Quorum, witnessed
from strongroom_host.metrics.series import Flag
from strongroom_host.owner.manifest_explain import explain_tier
from strongroom_host.private_files import read_file, read_private, write_atomic
from strongroom_host.record_serving.fetching import FetchedRow, fetch_row
from strongroom_host.record_store.logins import Logins
from strongroom_host.record_store.roles import GATEWAY
from strongroom_host.record_store.serving import served

__all__ = ["prove", "verify"]

_HOUR_MS: Final = 3_600_000
_COMPLETE: Final = {
    "unbroken": "everything from the account's first event on, as the venue's API answered",
    "since-opening": "everything since the balances that the record began with, as the venue's API"
    " answered",
    "with-gaps": "all but some spans that the venue did not tell; the hours in them have no return",
}
_NOT: Final = (
    "that its owner has no other account, in another record or in none",
    "that the venue's API told everything",
    "that nobody is shown another log (`log verify`, and witnesses, say that)",
    "anything of periods that this file is not about: what was not disclosed is not 0",
)


def prove(
    account: AccountArgument,
    time: Annotated[
        str, typer.Argument(metavar="TIME", help="When the period begins: YYYY-MM-DDTHH, or in ms.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where the proof goes.")
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option("--gateway", metavar="URL", help="Ask a gateway instead of the database."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--api-key-file", metavar="FILE", help="The gateway's API key, mode 0600."),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            "--log",
            metavar="DIR|URL",
            help="The record's log (default: the gateway's, or --record).",
        ),
    ] = None,
    record: RecordOption = DEFAULT_RECORD,
    db: DbOption = DEFAULT_DB,
    owner: OwnerFolderOption = DEFAULT_OWNER,
) -> None:
    """Put one disclosed return into a file that proves itself to whoever is given it."""
    start_ms = _start(time)
    if gateway is not None:
        if key_file is None:
            raise BadInput("the gateway asks for a key", remedy="name its file: --api-key-file")
        key = read_private(key_file.expanduser()).decode("ascii", "replace").strip()
        row, place = fetch_row(gateway, key, account, start_ms), log or f"{gateway}/v1/log"
    else:
        row, place = _from_database(db, account, start_ms), log or str(record / "log")
    with open_source(place if "://" in place else str(Path(place).expanduser()), None) as source:
        made = return_proof(
            source, row.leaf_index, row.encoded, row.position, row.path, row.opening
        )
    remember_record(owner, place if "://" in place else str(Path(place).expanduser()))
    file = out or Path(f"{account}-{start_ms}.return-proof")
    write_atomic(file, made.serialise())
    say(f"{file}: the return of {account} from {moment(start_ms)} UTC on, with its way to the log")
    say(f"check it: strongroom record verify {file} --trust FILE --manifest FILE")


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A proof, as `prove` writes it.")],
    trust: TrustFileOption = None,
    manifest: ManifestFileOption = None,
    as_json: JsonOption = False,
    owner: OwnerFolderOption = DEFAULT_OWNER,
    client: ClientFolderOption = DEFAULT_CLIENT,
) -> None:
    """Prove one return offline: evidence, signature, inclusion in the log, receipt, row.

    Exit status 3 if any of it is not so. The trust file says which roots and images count, the
    manifest (or the trust file) whose record it has to be.
    """
    meant = whose_log(trust, manifest, [], owner, client, LogRole.RECORD)
    if meant.trust is None:
        raise BadInput("evidence proves nothing without a trust file", remedy="add --trust FILE")
    if meant.trust.caution:
        warn(meant.trust.caution)
    proof = ReturnProof.parse(read_file(file, limit=MAX_RETURN_PROOF))
    try:
        proved = prove_return(proof, meant.trust, meant.owner_root)
    except WireError as error:
        raise OpeningWrong(
            "the file does not prove its row", expected=error.expected, actual=error.actual
        ) from error
    remember_proved(owner, meant, proved)
    if as_json:
        print_json(_plain(proved))
        return
    table("Proved", ("", ""), _facts(proved))
    if not _cosigned(proof, proved):
        warn("no quorum of witnesses vouches for this head: a log shown to you alone is possible")
    receipt = proved.found.receipt
    if receipt.environment != "live":
        warn(f"no real money: this is a {receipt.environment} account")
    if receipt.mode != "production":
        warn("the enclave ran in development mode")
    say(f"Complete means: {_COMPLETE[receipt.completeness]}.", wrap=True)
    say("It does not mean:")
    for sentence in _NOT:
        say(f"- {sentence}", wrap=True)


def _facts(proved: ProvedReturn) -> Sequence[tuple[str, str]]:
    hour, receipt = proved.found.hour, proved.found.receipt
    value = hour.value if hour.value is not None else "none: " + _why(hour.flags)
    boot = proved.writer
    return (
        ("account", f"{receipt.account} at {receipt.venue}, {receipt.environment}"),
        ("from", f"{moment(hour.start_ms)} UTC, {hour.hours} h"),
        ("return", value),
        ("equity at its end", f"{hour.closing} {receipt.currency}" if hour.closing else "withheld"),
        ("readers see", explain_tier(msgspec.json.decode(receipt.tier, type=Tier))),
        ("accounts ever connected", f"{receipt.accounts}, all in this record's log"),
        ("receipt", f"number {receipt.number}, {receipt.count} rows, {receipt.completeness}"),
        (
            "leaf",
            f"{proved.leaf.index} of {proved.signed.head.size}, {moment(proved.leaf.time_ms)}",
        ),
        ("computed by", f"image {boot.evidence.image.name}, boot {boot.boot_id.hex()[:16]}"),
        ("manifest", f"version {boot.manifest.manifest.version}, {receipt.mode}"),
    )


def _plain(proved: ProvedReturn) -> dict[str, object]:
    receipt = msgspec.to_builtins(proved.found.receipt)
    return {
        "proved": True,
        "return": msgspec.to_builtins(proved.found.hour),
        "receipt": receipt,
        "leaf_index": proved.leaf.index,
        "leaf_time_ms": proved.leaf.time_ms,
        "head_size": proved.signed.head.size,
        "boot": proved.writer.boot_id.hex(),
        "image": proved.writer.evidence.image.name,
        "manifest_version": proved.writer.manifest.manifest.version,
        "completeness": {
            "means": _COMPLETE[proved.found.receipt.completeness],
            "does_not_mean": list(_NOT),
        },
    }


def _cosigned(proof: ReturnProof, proved: ProvedReturn) -> bool:
    note = proof.note
    quorum = Quorum.of(proved.writer.manifest.manifest)
    return bool(witnessed([note], proved.writer.key.name, [proved.writer.key], quorum).size)


def _from_database(db: Path, account: str, start_ms: int) -> FetchedRow:
    from_here = Logins(db.expanduser())
    with served(db.expanduser()):
        return FetchedRow.of(from_here.dsn(GATEWAY), account, start_ms)


def _start(text: str) -> int:
    try:
        if text.isascii() and text.isdigit():
            found = int(text)
        else:
            at = datetime.fromisoformat(text if ":" in text else f"{text}:00")
            found = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1000
    except ValueError as error:
        raise BadInput(
            "this is no time", expected="2026-01-31T15, UTC, or ms since the epoch", actual=text
        ) from error
    if found % _HOUR_MS:
        raise BadInput("no period begins then", expected="a full hour", actual=text)
    return found


def _why(flags: int) -> str:
    return ", ".join((flag.name or "").lower() for flag in Flag if flag & flags) or "no reason"
