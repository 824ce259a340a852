"""`strongroom log report`: what was decided, by which model, and who could have stopped it."""

import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from strongroom_host.cli.log_meant import (
    DEFAULT_PLACE,
    CacheOption,
    ClientFolderOption,
    KeyOption,
    ManifestFileOption,
    OpeningsOption,
    OwnerFolderOption,
    PlaceOption,
    TrustFileOption,
    open_openings,
    whose_log,
)
from strongroom_host.cli.log_time import parse_time
from strongroom_host.cli.output import say, warn
from strongroom_host.cli.session import DEFAULT_OWNER
from strongroom_host.errors import BadInput
from strongroom_host.log.errors import LogDisordered
from strongroom_host.log.examination import Examination
from strongroom_host.log.examine import examine
from strongroom_host.log.report.making import Wanted, make_report
from strongroom_host.log.report.people import NOBODY, People
from strongroom_host.log.report.record import Period, Record
from strongroom_host.log.report.words import quantity
from strongroom_host.log.sources import open_source
from strongroom_host.owner.signed import read_manifest

__all__ = ["report"]


def report(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where to put it; must not exist.")
    ],
    log: PlaceOption = DEFAULT_PLACE,
    manifest: ManifestFileOption = None,
    trust: TrustFileOption = None,
    people: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Names of owners, clients and models."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="List decisions from this time on,")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="and before this one.")] = None,
    rows: Annotated[
        int, typer.Option(min=0, max=100_000, help="How many of them the page shows, the newest.")
    ] = 1000,
    despite_findings: Annotated[
        bool,
        typer.Option("--despite-findings", help="Also of a log that does not verify, saying so."),
    ] = False,
    key: KeyOption = [],  # noqa: B006  typer takes no other default for a list
    openings: OpeningsOption = None,
    cache: CacheOption = None,
    owner: OwnerFolderOption = DEFAULT_OWNER,
    client: ClientFolderOption = Path("~/.strongroom/client"),
) -> None:
    """Render the decisions of a log as HTML and CSV, after examining all of it.

    The folder holds what the openings hold: it is its maker's alone until he hands it on.
    """
    period = _period(since, until)
    names = NOBODY if people is None else People.load(people)
    given = None if manifest is None else read_manifest(manifest)[0]
    meant = whose_log(trust, manifest, key, owner, client)
    with ExitStack() as stack:
        source = stack.enter_context(open_source(log, cache))
        opened = open_openings(log, openings)
        if opened is not None:
            stack.enter_context(opened)
        found = examine(source, meant, openings=opened)
        if not found.ok and not despite_findings:
            raise _refusal(found)
        wanted = Wanted(time.time_ns() // 1_000_000, period, rows, names, given)
        record = make_report(source, found, opened or {}, out, wanted)
    _conclude(record, found, out)


def _refusal(found: Examination) -> LogDisordered:
    for finding in found.findings:
        say(str(finding))
    return LogDisordered(
        "there is no report of a log that does not verify",
        expected="leaves that lead to a signed head, and nothing found",
        actual=f"{quantity(len(found.findings), 'finding')}, {found.report.proven} of"
        f" {found.report.head.size} entries proven",
        remedy="`strongroom log verify` says what to do; --despite-findings makes a report that"
        " begins with what was found",
    )


def _conclude(record: Record, found: Examination, out: Path) -> None:
    """Says what is in the report, and fails if it is one that nobody should rely on."""
    say(f"{quantity(record.listed, 'decision')} of {quantity(len(record.boots), 'boot')} in {out}")
    missing = Counter[str]()
    for gap in record.gaps:
        if not gap.lack.alarming:
            missing[gap.lack.value] += gap.count
    for what, count in missing.items():
        warn(f"{what}: {quantity(count, 'entry', 'entries')}")
    for sentence in found.not_excluded():
        warn(sentence)
    wrong = [str(each) for each in found.findings]
    wrong += [f"{gap.lack.value}: from leaf {gap.start} on" for gap in record.alarms]
    if wrong or not found.ok:
        raise LogDisordered(
            "the report was made, and says on top what is wrong",
            expected="a log that verifies, and agrees with what the enclave promises",
            actual="; ".join(wrong) or "no signed head has any of its entries",
            remedy="keep this copy of the log, and find out what happened before relying on it",
        )


def _period(since: str | None, until: str | None) -> Period:
    start = parse_time(since) if since else None
    end = parse_time(until) if until else None
    if start is not None and end is not None and end <= start:
        raise BadInput(
            "the period ends before it begins",
            expected="--since before --until",
            actual=f"{since}, {until}",
        )
    return Period(start, end)
