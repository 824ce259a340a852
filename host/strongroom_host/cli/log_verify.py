"""`strongroom log verify`: the whole log or a range, offline, against the evidence of its boots."""

from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom_host.cli.log_heads import note_in
from strongroom_host.cli.log_meant import (
    DEFAULT_PLACE,
    CacheOption,
    ClientFolderOption,
    KeyOption,
    LogRole,
    ManifestFileOption,
    OpeningsOption,
    OwnerFolderOption,
    PlaceOption,
    RoleOption,
    TrustFileOption,
    open_openings,
    whose_log,
)
from strongroom_host.cli.log_options import DEFAULT_CLIENT
from strongroom_host.cli.log_time import shown_time
from strongroom_host.cli.log_words import PROBLEMS
from strongroom_host.cli.output import print_json, say, warn
from strongroom_host.cli.session import DEFAULT_OWNER, JsonOption
from strongroom_host.log.errors import LogDisordered
from strongroom_host.log.examination import Examination, ExaminedBoot
from strongroom_host.log.examine import examine
from strongroom_host.log.records import FoundPermit
from strongroom_host.log.report.words import quantity
from strongroom_host.log.sources import open_source
from strongroom_host.log.verify import Problem
from strongroom_host.store.handed_out import handed_out

__all__ = ["verify"]

CheckpointOption = Annotated[
    list[Path],
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="A signed head (or proof) from elsewhere, which the log must contain.",
    ),
]
JournalOption = Annotated[
    list[Path],
    typer.Option(
        "--journal",
        metavar="JOURNAL",
        help="A client's journal (or folder of them), of which the log must have every answer.",
    ),
]


def verify(
    log: PlaceOption = DEFAULT_PLACE,
    role: RoleOption = LogRole.SIGNER,
    trust: TrustFileOption = None,
    manifest: ManifestFileOption = None,
    key: KeyOption = [],  # noqa: B006  typer takes no other default for a list
    checkpoint: CheckpointOption = [],  # noqa: B006
    journal: JournalOption = [],  # noqa: B006
    start: Annotated[int, typer.Option("--from", min=0, help="From this leaf on,")] = 0,
    end: Annotated[
        int | None, typer.Option("--to", min=0, help="up to and without this one.")
    ] = None,
    openings: OpeningsOption = None,
    cache: CacheOption = None,
    json: JsonOption = False,
    owner: OwnerFolderOption = DEFAULT_OWNER,
    client: ClientFolderOption = DEFAULT_CLIENT,
) -> None:
    """Check a log offline: each boot's evidence, signatures, every leaf, and what is opened of it.

    Exit status 0: in order; 3: it is not, and each finding says what and where.
    """
    notes = tuple((str(path), note_in(path)) for path in checkpoint)
    held = tuple(entry.leaf for path in journal for entry in handed_out(path.expanduser()))
    meant = whose_log(trust, manifest, key, owner, client, role)
    meant = replace(meant, notes=notes, leaves=held)
    with ExitStack() as stack:
        source = stack.enter_context(open_source(log, cache))
        opened = open_openings(log, openings)
        if opened is not None:
            stack.enter_context(opened)
        found = examine(source, meant, openings=opened, start=start, end=end)
    if json:
        print_json(_as_json(found))
        raise typer.Exit(0 if found.ok else LogDisordered.exit_status)
    _show(found, len(held))
    if not found.ok:
        raise _failure(found)


def _show(found: Examination, answers: int) -> None:
    report = found.report
    say(f"log {found.origin or 'without a name'}")
    for boot in found.boots:
        say(f"boot {boot.boot_id.hex()[:16]}: leaves {boot.start} to {boot.end - 1}")
        for label, text in _facts(boot):
            say(f"  {label:<9}{text}")
    for note in found.notes:
        by = note.boot_id.hex()[:16] if note.boot_id else "a key that was given"
        say(f"signed head: {note.signed.head.size} leaves, by {by} ({note.source})")
    if found.quorum.needed:
        count = f"{found.quorum.needed} of {len(found.quorum.witnesses)}"
        say(f"witnesses: {found.witnessed.size} leaves cosigned by {count} or more")
    for sentence in found.given_up:
        say(sentence)
    for finding in found.findings:
        say(f"{finding.problem.code}: {str(finding).partition(': ')[2]}")
    for sentence in found.not_excluded():
        warn(sentence)
    if found.ok:
        counts = ", ".join(f"{count} {kind.name}" for kind, count in sorted(report.kinds.items()))
        leaves = quantity(found.end - found.start, "leaf", "leaves")
        also = f", with every answer in the journals ({answers})" if answers else ""
        say(
            f"in order: {leaves} of {quantity(len(found.boots), 'boot')} ({counts or 'no leaf'})"
            f"{also}; head {report.head.size} {report.head.root.hex()}"
        )


def _facts(boot: ExaminedBoot) -> list[tuple[str, str]]:
    """What is known of a boot, in lines."""
    if boot.proved is None:
        what = "none is stored" if boot.failure is None else f"proves nothing: {boot.failure.what}"
        lines = [("version", boot.version)] if boot.version else []
        return [*lines, ("evidence", what)]
    evidence, manifest = boot.proved.evidence, boot.proved.manifest
    pcr0 = evidence.document.pcrs[0].hex()
    signed = "" if evidence.signed else ", which nobody signed"
    head = boot.proved.head
    until = f"{head.head.size} leaves" if head else "a log that was not open yet"
    lines = [
        ("image", f"{evidence.image.name}, version {boot.version or 'unknown'}, PCR0 {pcr0}"),
        ("manifest", f"version {manifest.manifest.version}, {manifest.digest.hex()}"),
        ("evidence", f"of {evidence.as_of:%Y-%m-%d %H:%M:%S UTC}{signed}; names {until}"),
    ]
    return lines + [("permit", _permit(each)) for each in boot.permits]


def _permit(found: FoundPermit) -> str:
    permit = found.permit
    budgets = ", ".join(
        f"{each.key} {Decimal(each.notional) / 10**6} pUSD in {each.orders} orders"
        for each in permit.budgets
    )
    gone = found.abandons.size
    abandons = f"; gives up a history of {gone} leaves" if gone else ""
    until, continued = shown_time(permit.not_after), found.continued.size
    what = f"{permit.serial} (leaf {found.index}), until {until}: {budgets or 'no budgets'}"
    return f"{what}; continues {continued} leaves{abandons}"


def _failure(found: Examination) -> LogDisordered:
    problems = {finding.problem for finding in found.findings}
    first = next((each for each in Problem if each in problems), None)
    remedy = "get a signed head: `strongroom log pull`, or the checkpoint of another copy"
    return LogDisordered(
        "the log is not in order" if first else "nobody vouches for these leaves",
        expected=PROBLEMS[first].expected if first else "a signed head that has them",
        actual=f"{quantity(len(found.findings), 'finding')}; {found.report.proven} of {found.end}"
        " leaves under a head that somebody vouches for",
        remedy=PROBLEMS[first].remedy if first else remedy,
    )


def _as_json(found: Examination) -> dict[str, Any]:
    report = found.report
    return {
        "ok": found.ok,
        "origin": found.origin,
        "from": found.start,
        "to": found.end,
        "head": {"size": report.head.size, "root": report.head.root.hex()},
        "proven": report.proven,
        "witnessed": found.witnessed.size,
        "witness quorum": [found.quorum.needed, len(found.quorum.witnesses)],
        "opened": report.records,
        "kinds": {kind.name: count for kind, count in sorted(report.kinds.items())},
        "boots": [_boot_json(boot) for boot in found.boots],
        "signed heads": [
            {
                "source": note.source,
                "size": note.signed.head.size,
                "root": note.signed.head.root.hex(),
                "boot": note.boot_id.hex() if note.boot_id else None,
            }
            for note in found.notes
        ],
        "findings": [
            {
                "code": each.problem.code,
                "from": each.start,
                "to": each.end,
                "what": each.what,
                "do": PROBLEMS[each.problem].remedy,
            }
            for each in found.findings
        ],
        "given up": list(found.given_up),
        "not excluded": list(found.not_excluded()),
    }


def _boot_json(boot: ExaminedBoot) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "boot": boot.boot_id.hex(),
        "from": boot.start,
        "to": boot.end,
        "version": boot.version,
        "proved": boot.proved is not None,
        "permits": [
            {
                "leaf": each.index,
                "serial": each.permit.serial,
                "verified": each.verified,
                "not_after": each.permit.not_after,
                "continues": each.continued.size,
                "abandons": each.abandons.size,
                "budgets": {b.key: [b.notional, b.orders] for b in each.permit.budgets},
            }
            for each in boot.permits
        ],
    }
    if boot.failure is not None:
        facts["failure"] = boot.failure.what
    if boot.proved is not None:
        evidence, manifest = boot.proved.evidence, boot.proved.manifest
        facts |= {
            "image": evidence.image.name,
            "PCR0": evidence.document.pcrs[0].hex(),
            "signed by a platform": evidence.signed,
            "as of": evidence.as_of.isoformat(),
            "manifest": manifest.digest.hex(),
            "manifest version": manifest.manifest.version,
            "key": str(boot.proved.key),
        }
    return facts
