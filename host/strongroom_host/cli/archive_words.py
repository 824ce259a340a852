"""What `strongroom archive` prints: for people, and as JSON."""

import msgspec

from strongroom_host.archive.check import ArchiveReport
from strongroom_host.archive.contents import Contents
from strongroom_host.archive.export import Exported
from strongroom_host.archive.manifest import MANIFESTS
from strongroom_host.archive.store import Store, day
from strongroom_host.cli.output import print_json, say, table, warn
from strongroom_host.log.report.words import quantity

__all__ = ["as_json", "print_export", "print_report", "print_status"]


def as_json(found: Exported | ArchiveReport) -> dict[str, object]:
    """A result as plain values."""
    manifest = found.manifest
    common: dict[str, object] = {
        "manifest": manifest.key,
        "origin": manifest.origin,
        "size": manifest.size,
        "root": manifest.root,
    }
    if isinstance(found, Exported):
        return common | {
            "added": list(found.added),
            "renewed": list(found.renewed),
            "hidden": list(found.hidden),
            "unsigned": found.unsigned,
            "boots_without_evidence": list(found.unproved),
        }
    return common | {
        "ok": found.ok,
        "findings": [
            {"problem": each.problem.value, "where": each.where, "what": each.what}
            for each in found.findings
        ],
        "proven": found.log.proven,
        "objects": found.objects,
        "kept_until_ms": found.until_ms,
        "held": found.held,
        "signature_checked": found.signed,
        "witnesses_checked": found.asked,
        "witnessed": found.log.witnessed,
        "openings": {"archived": found.sealed, "opened": found.opened},
        "not_excluded": list(found.not_excluded()),
    }


def print_export(done: Exported, store: Store, until_ms: int, *, sealed: bool) -> None:
    """Says what an export did and what it left out."""
    manifest = done.manifest
    if done.added:
        say(f"{manifest.size} leaves are archived at {store.place}: {len(done.added)} new objects,")
        say(f"kept until {day(until_ms)} ({store.mode}); manifest {manifest.key}")
    else:
        say(f"{manifest.size} leaves were archived already; everything is there: {manifest.key}")
    if done.renewed:
        warn(f"{len(done.renewed)} objects were not protected as they should be, and are now")
    if done.hidden:
        warn(
            f"{len(done.hidden)} objects lie under a delete marker or another version: somebody "
            f"tried to remove or replace them, the first is {done.hidden[0]}"
        )
    if done.unsigned:
        warn(f"the newest {done.unsigned} leaves are not archived: no signed head has them yet")
    if done.unproved:
        warn(f"there is no evidence of {len(done.unproved)} boots, so none is archived")
    if not sealed:
        warn(
            "openings are left out: the archive proves that decisions were made, not which. "
            "--openings-key seals them into it"
        )


def print_report(report: ArchiveReport, store: Store) -> None:
    """Says what verification found, and what it does not exclude."""
    for finding in report.findings:
        say(str(finding))
    for sentence in report.not_excluded():
        warn(sentence)
    if report.ok:
        boots, vouched = len(report.log.epochs), report.log.witnessed
        witnesses = f"; witnesses vouch for {vouched}" if report.asked and vouched else ""
        held = f", {report.held} under a legal hold" if report.held else ""
        leaves = quantity(report.manifest.size, "leaf", "leaves")
        objects = quantity(report.objects, "object")
        say(f"in order: {leaves} of {quantity(boots, 'boot')} in {objects}{witnesses}")
        say(f"protected ({store.mode}) until {day(report.until_ms)} or longer{held}")


def print_status(contents: Contents, store: Store, now_ms: int, *, json: bool) -> None:
    """Says what there is, its protection, and the events."""
    newest, events = contents.required(store.place), contents.events(store)
    kept = {key: store.protection(key) for key in contents.objects}
    weak = [key for key, each in kept.items() if each.mode != store.mode]
    over = [key for key, each in kept.items() if each.until_ms <= now_ms and not each.hold]
    manifests = sum(key.startswith(MANIFESTS) for key in contents.objects)
    hidden = [key for key, each in contents.objects.items() if each.hidden]
    size = sum(each.size for each in contents.objects.values())
    first = min(each.until_ms for each in kept.values())
    last = max(each.until_ms for each in kept.values())
    held = sum(each.hold for each in kept.values())
    if json:
        print_json(
            {
                "place": store.place,
                "mode": store.mode,
                "manifest": newest.key,
                "origin": newest.origin,
                "size": newest.size,
                "manifests": manifests,
                "unreadable": sorted(contents.unreadable),
                "objects": len(contents.objects),
                "bytes": size,
                "kept_until_ms": [first, last],
                "held": held,
                "unprotected": weak,
                "retention_over": over,
                "hidden": hidden,
                "events": [msgspec.to_builtins(event) for event in events],
            }
        )
        return
    say(f"{store.place}: {newest.size} leaves of {newest.origin}")
    say(f"{len(contents.objects)} objects, {size:,} bytes, {manifests} manifests")
    say(f"{store.mode}: the first date is {day(first)}, the last {day(last)}; {held} under a hold")
    for name, keys in (
        ("not protected", weak),
        ("past their retention", over),
        ("under a delete marker or another version", hidden),
        ("manifests that cannot be read", sorted(contents.unreadable)),
    ):
        if keys:
            warn(f"{len(keys)} objects {name}, the first is {keys[0]}")
    rows = [
        (day(e.at_ms), e.by, e.what, e.why, day(e.until_ms) if e.until_ms else "") for e in events
    ]
    table("what was done", ("when", "who", "what", "why", "kept until"), rows)
