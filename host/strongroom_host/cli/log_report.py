"""`strongroom log report`: what was decided, by which model, and who could have stopped it."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from strongroom_wire.bundle import Role
from strongroom_wire.checkpoint import log_origin
from strongroom_wire.manifest import VerifiedManifest

from strongroom_host.cli.log_options import DEFAULT_LOG, LogOption
from strongroom_host.cli.output import say, warn
from strongroom_host.errors import BadInput
from strongroom_host.log.errors import LogDamaged
from strongroom_host.log.examination import Examination, Meant
from strongroom_host.log.examine import examine
from strongroom_host.log.openings import Openings
from strongroom_host.log.report.making import Wanted, make_report
from strongroom_host.log.report.people import NOBODY, People
from strongroom_host.log.report.record import Period, Record
from strongroom_host.log.report.words import quantity
from strongroom_host.log.sources import open_source
from strongroom_host.owner.signed import read_manifest
from strongroom_host.trust.record import Trust

__all__ = ["report"]

_BESIDE = "Default: the one beside the log's folder."


def report(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where to put it; must not exist.")
    ],
    log: LogOption = DEFAULT_LOG,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", metavar="FILE", help=f"Whose log. {_BESIDE}")
    ] = None,
    trust: Annotated[
        Path | None, typer.Option("--trust", metavar="FILE", help=f"Which images. {_BESIDE}")
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option("--people", metavar="FILE", help="Names of owners, clients and models."),
    ] = None,
    since: Annotated[
        str, typer.Option("--from", metavar="DATE", help="Decisions from this day or time on, UTC.")
    ] = "",
    until: Annotated[
        str, typer.Option("--to", metavar="DATE", help="To the end of this day, or this time, UTC.")
    ] = "",
    rows: Annotated[
        int, typer.Option(min=0, max=100_000, help="How many decisions the page lists.")
    ] = 1000,
    despite_findings: Annotated[
        bool,
        typer.Option("--despite-findings", help="Also of a log that does not verify, saying so."),
    ] = False,
) -> None:
    """Render the log's decisions as HTML and CSV, after examining the whole log.

    It holds what the openings hold, so the folder is for its maker alone until he hands it on.
    """
    folder = log.expanduser()
    period = _period(since, until)
    names = NOBODY if people is None else People.load(people)
    verified = _manifest(folder, manifest)
    with open_source(str(folder)) as source, Openings(folder) as openings:
        found = examine(source, _meant(folder, trust, verified), openings=openings)
        if not found.ok and not despite_findings:
            _refuse(found)
        now_ms = time.time_ns() // 1_000_000
        wanted = Wanted(now_ms, period, rows, names, verified)
        record = make_report(source, found, openings, out, wanted)
    _conclude(record, found, out)


def _conclude(record: Record, found: Examination, out: Path) -> None:
    """Says what is in the report, and fails if it is one that nobody should rely on."""
    say(f"{quantity(record.listed, 'decision')} of {quantity(len(record.boots), 'boot')} in {out}")
    for gap in record.gaps:
        if not gap.lack.alarming:
            warn(f"{gap.lack.value}: {quantity(gap.count, 'entry', 'entries')}")
    for sentence in found.not_excluded():
        warn(sentence)
    wrong = [str(each) for each in found.findings]
    wrong += [f"{gap.lack.value}: from leaf {gap.start} on" for gap in record.alarms]
    if wrong or not found.ok:
        raise LogDamaged(
            "the report was made, and says on top what is wrong",
            expected="a log that verifies, and agrees with what the enclave promises",
            actual="; ".join(wrong) or "no signed head has any of its entries",
            remedy="keep this copy of the log, and find out what happened before relying on it",
        )


def _refuse(found: Examination) -> None:
    for finding in found.findings:
        say(str(finding))
    raise LogDamaged(
        "this log does not verify, so there is no report of it",
        expected="a log that leads to a signed head, with nothing found",
        actual=f"{quantity(len(found.findings), 'finding')}, {found.report.proven} of"
        f" {found.report.head.size} entries proven",
        remedy="take another copy of the log; --despite-findings makes a report that begins with"
        " what was found",
    )


def _manifest(log: Path, path: Path | None) -> VerifiedManifest | None:
    beside = log.parent / "manifest.signed.json"
    if path is None and not beside.exists():
        return None
    return read_manifest(path or beside)[0]


def _meant(log: Path, path: Path | None, manifest: VerifiedManifest | None) -> Meant:
    """Whose log is meant: the owners that the manifest names, or else the trust file."""
    trust = Trust.load(path or log.parent / "trust.json")
    if manifest is not None:
        document = manifest.manifest
        origin = log_origin(document.owner_root, document.account, Role.SIGNER)
        return Meant(trust, document.owner_root, origin=origin)
    if trust.owner_root is None:
        raise BadInput(
            "nothing says whose log this should be",
            expected="a manifest, or a trust file that names the owners",
            remedy="name one with --manifest FILE",
        )
    return Meant(trust, bytes.fromhex(trust.owner_root))


def _period(since: str, until: str) -> Period:
    start, end = _moment(since, "--from"), _moment(until, "--to")
    if end is not None and _is_day(until):
        end += timedelta(days=1)
    if start is not None and end is not None and end <= start:
        raise BadInput(
            "the period ends before it begins", expected="--from before --to", actual=f"{since}"
        )
    return Period(_ms(start), _ms(end))


def _moment(text: str, option: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"{option} {text!r} is no time",
            expected="2026-11-21, or 2026-11-21T08:00, in UTC",
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _is_day(text: str) -> bool:
    return "T" not in text and " " not in text


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
